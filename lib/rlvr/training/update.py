"""From a batch to new weights: the objective over minibatches and microbatches, noises, and the optimiser."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from rlvr.config.precision import GrpoConfig
from rlvr.models.attention import AttentionDropout
from rlvr.models.label_scores import Scoring
from rlvr.models.policy_model import PolicyModel
from rlvr.objectives import LengthNormalization, LossType, grpo_microbatch_train_step
from rlvr.optim import AdamW
from rlvr.precision import PrecisionMode, torch_dtype
from rlvr.processes import (
    of_all_processes,
    share_out,
    sum_over_processes,
)
from rlvr.rollout.streams import named_generator
from rlvr.training.batch import TrainingBatch
from rlvr.training.dtype_contract import DtypeContract
from rlvr.training.gradients import add_relative_noise, clip_gradients
from rlvr.training.microbatches import microbatches
from rlvr.training.optimizer import learning_rate
from rlvr.training.scores import score_labels, trimmed_width

# A loss scale below this means gradients that overflow however small they are scaled: the run has diverged.
SMALLEST_LOSS_SCALE = 2.0**-14


@dataclass(frozen=True)
class UpdateResult:
    """Means over the `updates` (optimiser steps) of a step, and extremes where a mean would hide them.

    `clip_fraction` is the share of the minibatch's response tokens whose ratio was clipped.
    `updates_skipped`: those left out because the scaled gradient overflowed float16; they are not in the mean
    of `grad_norm`.
    """

    updates: int
    updates_skipped: int
    loss: float
    grad_norm: float
    clip_fraction: float
    ratio_max: float
    loss_scale: float


@dataclass(frozen=True)
class Updater:
    """The parts of a run that turn a batch into new weights. `scaler`: for float16 compute, else None.

    `seed` and `rep` decide the noises that stand in for rounding, `seed` alone everything else.
    """

    model: PolicyModel
    optimizer: AdamW
    scaler: torch.amp.GradScaler | None
    config: GrpoConfig
    mode: PrecisionMode
    contract: DtypeContract
    seed: int
    rep: int

    def update(self, batch: TrainingBatch, step: int) -> UpdateResult:
        """All epochs × minibatches × microbatches of one step; scores a batch that is not `scored` yet.

        A gradient norm that is not finite stops the run with FloatingPointError, before the weights are
        touched; with a loss scale it skips the update and halves the scale, until that is hopeless.
        """
        device = batch.labels.device
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.config)
        groups = len(batch.labels) // self.config.group_size
        updates = []
        for number, rows in enumerate(minibatches(groups, self.config, self.seed, step, device)):
            update = self._accumulate(batch, rows, (step, number))
            if "reduce" not in self.contract.realised:
                self.contract.check_gradients(self.model)
            norm, skipped = self._apply(step, number)
            self.model.zero_grad(set_to_none=True)  # now, so that sampling has their memory
            updates.append(replace(update, grad_norm=norm, updates_skipped=int(skipped)))
            if "optimizer_state" not in self.contract.realised and not updates[-1].updates_skipped:
                self.contract.check_optimizer(self.optimizer)
        return _summary(updates)

    def _accumulate(self, batch: TrainingBatch, rows: Tensor, place: tuple[int, int]) -> UpdateResult:
        """Accumulate the gradient of one minibatch over its microbatches (the norm is not known yet: NaN).

        Processes that share the job have their share of the microbatches each; what is returned is of all.
        """
        normalization = _length_normalization(batch.response_mask[rows], self.config, self.mode)
        scale = 1.0 if self.scaler is None else self.scaler.get_scale()
        learning = self._learning(batch, rows)
        loss, clipped_tokens, ratio_max = 0.0, 0.0, 0.0
        for (index, part), own in share_out(list(enumerate(self._microbatches(batch, rows, place)))):
            dropout = _dropout(self.mode, self.seed, (*place, index), rows.device)
            back_propagated = scale if own else 0.0
            part_loss, details = self._microbatch(
                batch, part, len(rows), normalization, dropout, back_propagated, learning
            )
            if not own:
                continue
            if not batch.scored:
                _keep_scores(batch, part, details)
            loss += part_loss.item()
            # A loss without ratio or clipping has no such metric: NaN, an empty cell in metrics.csv.
            clipped_share = details["clip_fraction"].item() if "clip_fraction" in details else math.nan
            clipped_tokens += clipped_share * batch.response_mask[part].sum().item()
            ratio_max = max(ratio_max, details["ratio_max"].item()) if "ratio_max" in details else math.nan
        if not batch.scored:
            for scores in (batch.old_log_probs, batch.entropy):
                scores.copy_(sum_over_processes(scores))
        losses, clipped, ratios = zip(*of_all_processes((loss, clipped_tokens, ratio_max)), strict=True)
        tokens = batch.response_mask[rows].sum().item()
        return UpdateResult(1, 0, sum(losses), math.nan, sum(clipped) / tokens, float(np.max(ratios)), scale)

    def _learning(self, batch: TrainingBatch, rows: Tensor) -> Tensor | None:
        """Which rows of the batch have a loss with a gradient, None if all of the minibatch do.

        The same in all processes that share the job, since they must go forward equally often.
        """
        loss_type, _ = _objective(self.config, self.mode)
        factors = batch.rewards if loss_type == "no_baseline" else batch.advantages
        learning = factors[:, 0] != 0
        return None if self.config.loss.kl_beta or learning[rows].all() else learning

    def _microbatches(self, batch: TrainingBatch, rows: Tensor, place: tuple[int, int]) -> Sequence[Tensor]:
        tokens = self.config.trainer.microbatch_tokens
        parts = microbatches(rows, batch.response_mask, self.config.microbatch_size, tokens)
        if not self.mode.shuffle_reduction:
            return parts
        order = named_generator("reduction order", self.seed, self.rep, *place).permutation(len(parts))
        return [parts[index] for index in order]

    def _microbatch(
        self,
        batch: TrainingBatch,
        rows: Tensor,
        minibatch_rows: int,
        normalization: tuple[LengthNormalization, float],
        dropout: AttentionDropout | None,
        scale: float,
        learning: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward of one microbatch; loss and metadata, scores among it if there were none."""
        width = trimmed_width(batch.response_mask[rows])

        def cut(tensor: Tensor) -> Tensor:
            return tensor[rows, :width]

        mask, beta = cut(batch.response_mask), self.config.loss.kl_beta
        tokens = (cut(batch.input_ids), cut(batch.labels), mask)
        chunk = self.config.trainer.vocabulary_chunk
        scoring = Scoring(not batch.scored, torch_dtype(self.mode.logits), chunk)
        loss_type, cliprange = _objective(self.config, self.mode)
        log_probs, entropies = score_labels(
            self.model, *tokens, dropout, scoring, None if learning is None else learning[rows]
        )
        current = log_probs.detach()
        penalty = None
        if beta != 0:
            assert batch.base_log_probs is not None  # `make_batch` had the base for them
            penalty = kl_penalty(log_probs, cut(batch.base_log_probs), mask, beta)
        loss, details = grpo_microbatch_train_step(
            log_probs,
            mask,
            minibatch_rows / len(rows),
            loss_type,
            raw_rewards=batch.rewards[rows],
            advantages=batch.advantages[rows],
            old_log_probs=cut(batch.old_log_probs) if batch.scored else current,
            cliprange=cliprange,
            length_normalization=normalization[0],
            normalize_constant=normalization[1],
            token_penalty=penalty,
            token_weights=None if batch.engine_weights is None else cut(batch.engine_weights),
            loss_scale=scale,
        )
        if entropies is not None:  # they were asked for, since the batch has no scores yet
            details = details | {"log_probs": current, "entropy": entropies}
        return loss, details

    def _apply(self, step: int, number: int) -> tuple[float, bool]:
        """Unscale, disturb and clip the gradient, and step; the norm before clipping, and whether skipped."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if self.mode.gradient_noise:
            noise_seed = named_generator("gradient noise", self.seed, self.rep, step, number).integers(2**63)
            gradients = [p.grad for p in parameters if p.grad is not None]
            add_relative_noise(gradients, self.mode.gradient_noise, int(noise_seed))
        norm = clip_gradients(parameters, self.config.optimizer.max_grad_norm)
        if self.scaler is None:
            if not math.isfinite(norm):
                raise FloatingPointError(_broken(step, norm))
            self.optimizer.step()
            return norm, False
        # Skips the step, and lowers the scale, where unscaling met an infinity or NaN.
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if math.isfinite(norm):
            return norm, False
        scale = self.scaler.get_scale()
        if scale < SMALLEST_LOSS_SCALE:
            raise FloatingPointError(f"{_broken(step, norm)}, at every loss scale down to {scale:g}")
        return norm, True


def _keep_scores(batch: TrainingBatch, rows: Tensor, details: Mapping[str, Tensor]) -> None:
    """Put a microbatch's scores in place in a batch that has none yet."""
    for kept, found in ((batch.old_log_probs, "log_probs"), (batch.entropy, "entropy")):
        kept[rows, : details[found].shape[1]] = details[found].float()


def _broken(step: int, norm: float) -> str:
    return f"step {step + 1}: the gradient norm is {norm}; weights before it are kept"


def make_scaler(mode: PrecisionMode, device: torch.device) -> torch.amp.GradScaler | None:
    """Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740) for float16 compute, else None."""
    if mode.compute != "float16":
        return None
    scaler = torch.amp.GradScaler(device.type)
    scaler.scale(torch.zeros((), device=device))  # it makes its tensors when it scales for the first time
    return scaler


def _dropout(
    mode: PrecisionMode, seed: int, place: tuple[int, int, int], device: torch.device
) -> AttentionDropout | None:
    """Dropout of one microbatch; `place`: step, minibatch and microbatch, whichever process computes it."""
    if not mode.dropout.rate:
        return None
    dropout_seed = int(named_generator("dropout", seed, *place).integers(2**63))
    return AttentionDropout(mode.dropout, torch.Generator(device).manual_seed(dropout_seed))


def _objective(config: GrpoConfig, mode: PrecisionMode) -> tuple[LossType, tuple[float, float]]:
    """Loss type and clip range: those of the config, or GSPO's in a mode with one ratio a response."""
    loss = config.loss
    if mode.policy_ratio == "sequence":
        return "gspo_clip", (loss.sequence_clip_low, loss.sequence_clip_high)
    return loss.type, (loss.clip_low, loss.clip_high)


def _summary(updates: Sequence[UpdateResult]) -> UpdateResult:
    norms = [update.grad_norm for update in updates if not update.updates_skipped]
    return UpdateResult(
        updates=len(updates),
        updates_skipped=sum(update.updates_skipped for update in updates),
        loss=fmean(update.loss for update in updates),
        grad_norm=fmean(norms) if norms else math.nan,
        clip_fraction=fmean(update.clip_fraction for update in updates),
        ratio_max=max(update.ratio_max for update in updates),
        loss_scale=updates[-1].loss_scale,
    )


def minibatches(
    groups: int, config: GrpoConfig, seed: int, step: int, device: torch.device
) -> Iterator[Tensor]:
    """Row indices of each minibatch: whole groups, shuffled anew in each epoch by (seed, step, epoch)."""
    for epoch in range(config.epochs):
        order = named_generator("minibatches", seed, step, epoch).permutation(groups)
        for part in np.array_split(order, config.minibatches):
            if len(part):
                rows = part[:, None] * config.group_size + np.arange(config.group_size)
                yield torch.from_numpy(rows.reshape(-1)).to(device)


def _length_normalization(
    mask: Tensor, config: GrpoConfig, mode: PrecisionMode
) -> tuple[LengthNormalization, float]:
    """How `grpo_microbatch_train_step` must average for the configured aggregation of this minibatch.

    One ratio a response goes with one vote a response, as in GSPO.
    """
    match "sequence_mean" if mode.policy_ratio == "sequence" else config.loss.aggregation:
        case "sequence_mean":
            return "masked_mean", 1.0
        case "token_mean":  # (1/B) Σ_rows Σ_tokens / (tokens/B) is the mean over tokens
            return "masked_normalize", mask.sum().item() / len(mask)
        case "constant":
            return "masked_normalize", config.loss.normalize_constant


def kl_penalty(log_probs: Tensor, base_log_probs: Tensor, mask: Tensor, beta: float) -> Tensor:
    """β times the k3 estimator of KL(policy || base) per token (GRPO, arXiv:2402.03300, equation 4).

    Zero outside the mask, where a difference may overflow and its gradient would be NaN.
    """
    difference = torch.where(mask, base_log_probs - log_probs, 0.0)
    return beta * (torch.expm1(difference) - difference)
