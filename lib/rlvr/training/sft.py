"""Supervised fine-tuning: the likelihood of responses, from any weights, with exact resume."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import nn

from rlvr.config.policy import SftConfig
from rlvr.objectives import sft_microbatch_train_step
from rlvr.policy import collate, get_response_log_probs
from rlvr.sigterm import end_after, noted_sigterm
from rlvr.training.examples import ExampleStream
from rlvr.training.scores import trimmed_width

logger = logging.getLogger(__name__)

METRIC_COLUMNS = ("step", "loss", "learning_rate", "grad_norm", "seconds")
CHECKPOINTS = 5  # written in a whole training


@dataclass
class SftState:
    """What a resume needs besides weights and moments.

    `metrics` has one row of METRIC_COLUMNS per `log_every_steps`; `losses` and `norms` are those of the
    steps since the last row; `seconds` were spent before this process began.
    """

    step: int = 0
    metrics: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    seconds: float = 0.0


def learning_rate(config: SftConfig, step: int) -> float:
    """Rate of a step counted from 0: linear from 0 over the warm-up, then linear to the final ratio."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    decay_steps = max(1, config.steps - config.warmup_steps)
    done = (step + 1 - config.warmup_steps) / decay_steps
    return config.learning_rate * (1.0 - (1.0 - config.final_learning_rate_ratio) * done)


def accumulate_gradients(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    pad_id: int,
    gradient_accumulation_steps: int = 1,
    forward_kwargs: Mapping[str, Any] | None = None,
    softmax_dtype: torch.dtype | None = None,
) -> float:
    """Back-propagate the mean, over the batch's response tokens, of minus their log-probability in nats.

    Returns that loss. The rows are split into at most `gradient_accumulation_steps` microbatches of equal
    size, the last one perhaps smaller; value and gradient are those of the whole batch up to rounding.
    `forward_kwargs`, `softmax_dtype`: see `get_response_log_probs`. A log-probability that is not finite
    raises FloatingPointError.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(prompts, responses, pad_id).items()}
    rows = len(prompts)
    tokens_per_row = batch["response_mask"].sum().item() / rows
    loss = 0.0
    for part in torch.arange(rows, device=device).split(math.ceil(rows / gradient_accumulation_steps)):
        width = trimmed_width(batch["response_mask"][part])
        input_ids, labels, mask = (
            batch[name][part, :width] for name in ("input_ids", "labels", "response_mask")
        )
        log_probs = get_response_log_probs(
            model, input_ids, labels, forward_kwargs=forward_kwargs, softmax_dtype=softmax_dtype
        )["log_probs"]
        if not log_probs[mask].isfinite().all():
            raise FloatingPointError("the log-probability of a response token is not finite")
        # (1/part) Σ_rows Σ_tokens / (tokens/rows) / (rows/part) is the part's share of the mean over tokens.
        part_loss, _ = sft_microbatch_train_step(log_probs, mask, rows / len(part), tokens_per_row)
        loss += part_loss.item()
    return loss


def finite_norm(norm: float) -> float:
    """The norm of a gradient that is about to be applied; FloatingPointError if it is not finite."""
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient norm is {norm}; the weights before it are kept")
    return norm


class Sft:
    """One supervised training: model, optimiser (of the model's parameters) and where it stands."""

    def __init__(
        self,
        model: nn.Module,
        config: SftConfig,
        optimizer: torch.optim.Optimizer,
        examples: ExampleStream,
        pad_id: int,
    ):
        self.model = model
        self.config = config
        self.optimizer = optimizer
        self.examples = examples
        self.pad_id = pad_id
        self.state = SftState()

    def snapshot(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": vars(self.state),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Continue from what `snapshot` returned."""
        self.model.load_state_dict(snapshot["model"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.state = SftState(**snapshot["state"])

    def _step(self) -> None:
        """One update of the weights."""
        prompts, responses = self.examples.batch(self.state.step, self.config.batch_size)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.state.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = accumulate_gradients(
            self.model, prompts, responses, self.pad_id, self.config.gradient_accumulation_steps
        )
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.state.norms.append(finite_norm(norm.item()))
        self.optimizer.step()
        self.state.losses.append(loss)
        self.state.step += 1

    def _log(self, seconds: float) -> None:
        """Close a row of metrics: means over the steps since the row before."""
        state = self.state
        row = {
            "step": state.step,
            "loss": fmean(state.losses),
            "learning_rate": learning_rate(self.config, state.step - 1),
            "grad_norm": fmean(state.norms),
            "seconds": seconds,
        }
        state.metrics.append(row)
        state.losses, state.norms = [], []
        left = seconds / state.step * (self.config.steps - state.step)
        logger.info(
            "step %d/%d  loss %.4f  grad norm %.3f  %.0f s left",
            state.step,
            self.config.steps,
            row["loss"],
            row["grad_norm"],
            left,
        )

    def run(self, checkpoint: Callable[[int, dict[str, Any]], None]) -> None:
        """Train to the end; `checkpoint(step, snapshot)` is called about CHECKPOINTS times on the way.

        A gradient or a log-probability that is not finite raises FloatingPointError. After a SIGTERM the step
        is finished and has its checkpoint, and Terminated is raised.
        """
        every = max(1, self.config.steps // CHECKPOINTS)
        before = self.state.seconds
        started = time.perf_counter()
        with noted_sigterm() as sigterm:
            while self.state.step < self.config.steps:
                self._step()
                self.state.seconds = before + time.perf_counter() - started
                step = self.state.step
                if step % self.config.log_every_steps == 0 or step == self.config.steps:
                    self._log(self.state.seconds)
                if sigterm.came:
                    checkpoint(step, self.snapshot())
                    end_after(f"step {step} of {self.config.steps}")
                if step % every == 0 and step < self.config.steps:
                    checkpoint(step, self.snapshot())
