"""Supervised fine-tuning: the likelihood of responses, from any weights, with exact resume."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from rlvr.config.policy import SftConfig
from rlvr.policy import collate, get_response_log_probs
from rlvr.training.examples import ExampleStream

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


def response_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Mean over the batch's response tokens (EOS included) of minus their log-probability, in nats."""
    log_probs = get_response_log_probs(model, batch["input_ids"], batch["labels"])["log_probs"]
    return -log_probs[batch["response_mask"]].mean()


class Sft:
    """One supervised training: model, optimiser and where it stands."""

    def __init__(self, model: nn.Module, config: SftConfig, examples: ExampleStream, pad_id: int):
        self.model = model
        self.config = config
        self.examples = examples
        self.pad_id = pad_id
        self.device = next(model.parameters()).device
        self.state = SftState()
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
        )

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
        batch = {
            name: tensor.to(self.device) for name, tensor in collate(prompts, responses, self.pad_id).items()
        }
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.state.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = response_loss(self.model, batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(
            self.model.parameters(), self.config.max_grad_norm, error_if_nonfinite=True
        )
        self.optimizer.step()
        self.state.losses.append(loss.item())
        self.state.norms.append(norm.item())
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

        A gradient that is not finite raises RuntimeError.
        """
        every = max(1, self.config.steps // CHECKPOINTS)
        before = self.state.seconds
        started = time.perf_counter()
        while self.state.step < self.config.steps:
            self._step()
            self.state.seconds = before + time.perf_counter() - started
            step = self.state.step
            if step % self.config.log_every_steps == 0 or step == self.config.steps:
                self._log(self.state.seconds)
            if step % every == 0 and step < self.config.steps:
                checkpoint(step, self.snapshot())
