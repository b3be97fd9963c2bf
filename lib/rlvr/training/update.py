"""From a step's groups to new weights: log-probabilities, the clipped objective, the optimiser."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rlvr.advantages import group_advantages
from rlvr.config.precision import GrpoConfig
from rlvr.models.attention import AttentionDropout
from rlvr.objectives import grpo_microbatch_train_step, masked_mean
from rlvr.optim import AdamW
from rlvr.policy import collate, get_response_log_probs
from rlvr.precision import PrecisionMode
from rlvr.rollout.streams import named_generator
from rlvr.training.dtype_contract import DtypeContract
from rlvr.training.groups import Group


@dataclass(frozen=True)
class TrainingBatch:
    """The kept groups of a step as tensors: B responses in group order, S label positions.

    `old_log_probs`, `base_log_probs` and `entropy` belong to the policy before the step's first update
    (without dropout); `engine_log_probs` are what the rollout engine reported. Zero outside the mask.
    """

    input_ids: Int[Tensor, "B S"]
    labels: Int[Tensor, "B S"]
    response_mask: Bool[Tensor, "B S"]
    rewards: Float[Tensor, "B 1"]
    advantages: Float[Tensor, "B 1"]
    engine_log_probs: Float[Tensor, "B S"]
    old_log_probs: Float[Tensor, "B S"]
    base_log_probs: Float[Tensor, "B S"]
    entropy: Float[Tensor, "B S"]


@dataclass(frozen=True)
class UpdateResult:
    """Means over the `updates` (optimiser steps) of a step, and extremes where a mean would hide them.

    `clip_fraction` is the share of the minibatch's response tokens whose ratio was clipped.
    """

    updates: int
    loss: float
    grad_norm: float
    clip_fraction: float
    ratio_max: float


def learning_rate(step: int, config: GrpoConfig) -> float:
    """Linear warm-up over the first `warmup_steps` steps (step counts from 0), constant afterwards."""
    warmup = config.optimizer.warmup_steps
    return config.optimizer.learning_rate * min(1.0, (step + 1) / warmup if warmup else 1.0)


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale gradients so that their global 2-norm is at most `max_norm`; return the norm before.

    The norm is accumulated in fp32 whatever the gradients' dtype; torch's clip_grad_norm_ rounds the norms
    of bf16 gradients to bf16.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([torch.linalg.vector_norm(g, dtype=torch.float32) for g in gradients]).norm().item()
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm


def response_log_probs(
    model: nn.Module, batch: dict[str, Tensor], microbatch_size: int, entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities (B, S) of the labels under `model`, and token entropies if asked; no gradients."""
    mask = batch["response_mask"]
    log_probs = torch.zeros(mask.shape, device=mask.device)
    entropies = torch.zeros_like(log_probs) if entropy else None
    with torch.no_grad():
        for rows in torch.arange(len(mask), device=mask.device).split(microbatch_size):
            width = trimmed_width(mask[rows])
            scores = get_response_log_probs(
                model, batch["input_ids"][rows, :width], batch["labels"][rows, :width], entropy
            )
            log_probs[rows, :width] = scores["log_probs"].float()
            if entropies is not None:
                entropies[rows, :width] = scores["token_entropy"].float()
    keep = mask.float()
    return log_probs * keep, None if entropies is None else entropies * keep


def trimmed_width(mask: Bool[Tensor, "B S"]) -> int:
    """Columns up to the last response token of any row: what is right of it is padding."""
    return int(mask.any(0).nonzero().max()) + 1


def make_batch(
    groups: Sequence[Group],
    policy: nn.Module,
    base: nn.Module,
    pad_id: int,
    config: GrpoConfig,
    device: torch.device,
) -> TrainingBatch:
    """Collate the groups and score them under the current policy and the base."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    tokens = collate([r.prompt_ids for r in rollouts], [r.token_ids for r in rollouts], pad_id)
    tokens = {name: tensor.to(device) for name, tensor in tokens.items()}
    mask = tokens["response_mask"]
    rewards = torch.tensor([reward for group in groups for reward in group.rewards], device=device)
    if config.advantage.baseline == "group_mean":
        advantages = group_advantages(
            rewards,
            config.group_size,
            eps=config.advantage.eps,
            normalize_by_std=config.advantage.normalize_by_std,
        )
    else:
        advantages = rewards.clone()
    engine_log_probs = torch.zeros(mask.shape, device=device)
    engine_log_probs[mask] = torch.tensor([value for r in rollouts for value in r.log_probs], device=device)
    old_log_probs, entropy = response_log_probs(policy, tokens, config.microbatch_size, entropy=True)
    base_log_probs, _ = response_log_probs(base, tokens, config.microbatch_size, entropy=False)
    return TrainingBatch(
        **tokens,
        rewards=rewards[:, None],
        advantages=advantages[:, None],
        engine_log_probs=engine_log_probs,
        old_log_probs=old_log_probs,
        base_log_probs=base_log_probs,
        entropy=entropy,
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


def _length_normalization(mask: Tensor, config: GrpoConfig) -> tuple[str, float]:
    """How `grpo_microbatch_train_step` must average for the configured aggregation of this minibatch."""
    match config.loss.aggregation:
        case "sequence_mean":
            return "masked_mean", 1.0
        case "token_mean":  # (1/B) Σ_rows Σ_tokens / (tokens/B) is the mean over tokens
            return "masked_normalize", mask.sum().item() / len(mask)
        case "constant":
            return "masked_normalize", config.loss.normalize_constant


def kl_penalty(log_probs: Tensor, base_log_probs: Tensor, mask: Tensor, beta: float) -> Tensor | None:
    """β times the k3 estimator of KL(policy || base) per token (GRPO, arXiv:2402.03300, equation 4).

    Zero outside the mask, where a difference may overflow and its gradient would be NaN.
    """
    if beta == 0.0:
        return None
    difference = torch.where(mask, base_log_probs - log_probs, 0.0)
    return beta * (torch.expm1(difference) - difference)


def _microbatch_step(
    model: nn.Module,
    batch: TrainingBatch,
    rows: Tensor,
    minibatch_rows: int,
    normalization: tuple[str, float],
    config: GrpoConfig,
    dropout: AttentionDropout | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Forward and backward of one microbatch."""
    width = trimmed_width(batch.response_mask[rows])

    def cut(tensor: Tensor) -> Tensor:
        return tensor[rows, :width]

    forward_arguments = {} if dropout is None else {"dropout": dropout}
    log_probs = get_response_log_probs(
        model, cut(batch.input_ids), cut(batch.labels), forward_kwargs=forward_arguments
    )["log_probs"]
    loss = config.loss
    return grpo_microbatch_train_step(
        log_probs,
        cut(batch.response_mask),
        minibatch_rows / len(rows),
        loss.type,
        raw_rewards=batch.rewards[rows],
        advantages=batch.advantages[rows],
        old_log_probs=cut(batch.old_log_probs),
        cliprange=(loss.clip_low, loss.clip_high),
        length_normalization=normalization[0],
        normalize_constant=normalization[1],
        token_penalty=kl_penalty(
            log_probs, cut(batch.base_log_probs), cut(batch.response_mask), loss.kl_beta
        ),
    )


def _minibatch_gradient(
    model: nn.Module,
    batch: TrainingBatch,
    rows: Tensor,
    config: GrpoConfig,
    dropout: AttentionDropout | None,
) -> UpdateResult:
    """Accumulate the gradient of one minibatch over its microbatches (the norm is not known yet: NaN)."""
    normalization = _length_normalization(batch.response_mask[rows], config)
    model.zero_grad(set_to_none=True)
    loss, clipped_tokens, ratio_max = 0.0, 0.0, 0.0
    for part in rows.split(config.microbatch_size):
        part_loss, details = _microbatch_step(model, batch, part, len(rows), normalization, config, dropout)
        loss += part_loss.item()
        # A loss without ratio or clipping has no such metric: NaN, an empty cell in metrics.csv.
        clipped_share = details["clip_fraction"].item() if "clip_fraction" in details else math.nan
        clipped_tokens += clipped_share * batch.response_mask[part].sum().item()
        ratio_max = max(ratio_max, details["ratio_max"].item()) if "ratio_max" in details else math.nan
    tokens = batch.response_mask[rows].sum().item()
    return UpdateResult(1, loss, math.nan, clipped_tokens / tokens, ratio_max)


def update_policy(
    model: nn.Module,
    optimizer: AdamW,
    batch: TrainingBatch,
    config: GrpoConfig,
    mode: PrecisionMode,
    contract: DtypeContract,
    seed: int,
    step: int,
) -> UpdateResult:
    """All epochs × minibatches × microbatches of one step.

    A gradient norm that is not finite stops the run with FloatingPointError, before the weights are touched.
    """
    device = batch.labels.device
    dropout_seed = int(named_generator("dropout", seed, step).integers(2**63))
    generator = torch.Generator(device).manual_seed(dropout_seed)
    dropout = AttentionDropout(mode.dropout, generator) if mode.dropout.rate else None
    parameters = list(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, config)
    updates = []
    for rows in minibatches(len(batch.labels) // config.group_size, config, seed, step, device):
        update = _minibatch_gradient(model, batch, rows, config, dropout)
        if "reduce" not in contract.realised:
            contract.check_gradients(model)
        norm = clip_gradients(parameters, config.optimizer.max_grad_norm)
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"step {step + 1}: the gradient norm is {norm}; weights before it are kept"
            )
        optimizer.step()
        if "optimizer_state" not in contract.realised:
            contract.check_optimizer(optimizer)
        updates.append(replace(update, grad_norm=norm))
    return UpdateResult(
        updates=len(updates),
        loss=fmean(update.loss for update in updates),
        grad_norm=fmean(update.grad_norm for update in updates),
        clip_fraction=fmean(update.clip_fraction for update in updates),
        ratio_max=max(update.ratio_max for update in updates),
    )


def batch_metrics(batch: TrainingBatch) -> dict[str, float]:
    """Entropy per token, KL to the base per response (k1, k3: Schulman 2020), engine/trainer mismatch."""
    mask = batch.response_mask
    difference = batch.base_log_probs - batch.old_log_probs
    mismatch = (batch.engine_log_probs - batch.old_log_probs).abs()
    return {
        "entropy": masked_mean(batch.entropy, mask).item(),
        "kl_base_k1": -difference.sum(1).mean().item(),
        "kl_base_k3": (torch.expm1(difference) - difference).sum(1).mean().item(),
        "logprob_mismatch_mean": masked_mean(mismatch, mask).item(),
        "logprob_mismatch_max": mismatch.max().item(),
    }
