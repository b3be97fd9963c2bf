"""Masked reductions, policy-gradient losses and microbatch steps (PPO/GRPO/DAPO family).

Shapes: B responses, S token positions. Log-probabilities are natural logarithms of the sampled tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlvr.advantages import group_advantages

LossType = Literal["no_baseline", "reinforce_with_baseline", "grpo_clip", "grpo_no_clip"]
ClipRange = float | tuple[float, float]


def _masked(tensor: Tensor, mask: Tensor) -> Tensor:
    """Zero where the mask is false, without letting a NaN there reach value or gradient."""
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean, got {mask.dtype}")
    return torch.where(mask, tensor, torch.zeros((), dtype=tensor.dtype, device=tensor.device))


def masked_normalize(
    tensor: Tensor, mask: Tensor, dim: int | None = None, normalize_constant: float = 1.0
) -> Tensor:
    """Sum over `dim` (all dimensions if None) where `mask` is true, divided by `normalize_constant`."""
    masked = _masked(tensor, mask)
    return (masked.sum() if dim is None else masked.sum(dim)) / normalize_constant


def masked_mean(tensor: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean over `dim` (all dimensions if None) where `mask` is true; NaN where nothing is true."""
    count = mask.sum() if dim is None else mask.sum(dim)
    return masked_normalize(tensor, mask, dim) / count


def compute_group_normalized_rewards(
    reward_fn: Callable[[str, str], Mapping[str, float]],
    rollout_responses: Sequence[str],
    repeated_ground_truths: Sequence[str],
    group_size: int,
    advantage_eps: float,
    normalize_by_std: bool,
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], dict[str, float]]:
    """Rewards of contiguous groups of `group_size` responses, and their group-normalised advantages.

    GRPO (Shao et al. 2024, arXiv:2402.03300): (r − mean)/(std + eps) with the sample standard deviation;
    without `normalize_by_std`, r − mean (Dr. GRPO, arXiv:2503.20783). `reward_fn(response, truth)` returns a
    mapping with key "reward" and is called once per response. Returns (advantages, raw rewards, metadata),
    fp32, shape (B,). Lists of unequal length, or a length that is no multiple of the group size, raise
    ValueError.
    """
    if len(rollout_responses) != len(repeated_ground_truths):
        raise ValueError(
            f"{len(rollout_responses)} rollout_responses but "
            f"{len(repeated_ground_truths)} repeated_ground_truths"
        )
    scores = [
        float(reward_fn(response, truth)["reward"])
        for response, truth in zip(rollout_responses, repeated_ground_truths, strict=True)
    ]
    rewards = torch.tensor(scores, dtype=torch.float32)
    advantages = group_advantages(rewards, group_size, eps=advantage_eps, normalize_by_std=normalize_by_std)
    if not scores:
        return advantages, rewards, {"groups": 0.0}
    groups = rewards.view(-1, group_size)
    metadata = {
        "reward_mean": rewards.mean().item(),
        "reward_std": rewards.std(unbiased=False).item(),
        "reward_min": rewards.min().item(),
        "reward_max": rewards.max().item(),
        "groups": float(len(groups)),
        "groups_without_variance": float((groups == groups[:, :1]).all(dim=1).sum()),
    }
    return advantages, rewards, metadata


def compute_naive_policy_gradient_loss(
    raw_rewards_or_advantages: Float[Tensor, "B 1"], policy_log_probs: Float[Tensor, "B S"]
) -> Float[Tensor, "B S"]:
    """−A·log π per token (REINFORCE; Williams 1992)."""
    return -raw_rewards_or_advantages * policy_log_probs


def _ratio(policy_log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    return torch.exp(policy_log_probs - old_log_probs)


def compute_grpo_clip_loss(
    advantages: Float[Tensor, "B 1"],
    policy_log_probs: Float[Tensor, "B S"],
    old_log_probs: Float[Tensor, "B S"],
    cliprange: ClipRange,
) -> tuple[Float[Tensor, "B S"], dict[str, Tensor]]:
    """−min(ρA, clip(ρ, 1−low, 1+high)·A) per token, ρ = π/π_old (PPO, arXiv:1707.06347, equation 7).

    `cliprange` is one number or a (low, high) pair (clip-higher, DAPO, arXiv:2503.14476, equation 10).
    Metadata: `is_clipped` (B, S) boolean, true where the clipped branch is the smaller one; `ratio` (B, S).
    """
    low, high = cliprange if isinstance(cliprange, tuple) else (cliprange, cliprange)
    ratio = _ratio(policy_log_probs, old_log_probs)
    plain = ratio * advantages
    clipped = ratio.clamp(1.0 - low, 1.0 + high) * advantages
    return -torch.minimum(plain, clipped), {"is_clipped": clipped < plain, "ratio": ratio.detach()}


def compute_policy_gradient_loss(
    policy_log_probs: Float[Tensor, "B S"],
    loss_type: LossType,
    raw_rewards: Float[Tensor, "B 1"] | None = None,
    advantages: Float[Tensor, "B 1"] | None = None,
    old_log_probs: Float[Tensor, "B S"] | None = None,
    cliprange: ClipRange | None = None,
) -> tuple[Float[Tensor, "B S"], dict[str, Tensor]]:
    """Per-token loss of the chosen type, with its metadata.

    What a type needs and did not get, or an unknown type, raises a ValueError that names it.
    """

    def need(name: str, value):
        if value is None:
            raise ValueError(f"loss_type {loss_type!r} needs {name}")
        return value

    match loss_type:
        case "no_baseline":
            return compute_naive_policy_gradient_loss(need("raw_rewards", raw_rewards), policy_log_probs), {}
        case "reinforce_with_baseline":
            return compute_naive_policy_gradient_loss(need("advantages", advantages), policy_log_probs), {}
        case "grpo_clip":
            return compute_grpo_clip_loss(
                need("advantages", advantages),
                policy_log_probs,
                need("old_log_probs", old_log_probs),
                need("cliprange", cliprange),
            )
        case "grpo_no_clip":
            ratio = _ratio(policy_log_probs, need("old_log_probs", old_log_probs))
            return -ratio * need("advantages", advantages), {"ratio": ratio.detach()}
    raise ValueError(
        f"unknown loss_type {loss_type!r}; "
        "allowed: no_baseline, reinforce_with_baseline, grpo_clip, grpo_no_clip"
    )


def require_finite(policy_log_probs: Tensor, response_mask: Tensor) -> None:
    """Raise ValueError if a log-probability under the mask is NaN."""
    broken = torch.isnan(policy_log_probs.detach()) & response_mask
    if broken.any():
        row, position = broken.nonzero()[0].tolist()
        raise ValueError(f"policy_log_probs is NaN under the mask, first at row {row}, position {position}")


def sft_microbatch_train_step(
    policy_log_probs: Float[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
    gradient_accumulation_steps: float,
    normalize_constant: float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Back-propagate minus the batch mean of the masked sum, over constant and accumulation steps.

    Returns (the loss that was back-propagated, metadata). NaN under the mask raises ValueError.
    """
    require_finite(policy_log_probs, response_mask)
    per_response = masked_normalize(policy_log_probs, response_mask, -1, normalize_constant)
    loss = -per_response.mean() / gradient_accumulation_steps
    loss.backward()
    return loss.detach(), {"response_tokens": response_mask.sum()}


def _response_losses(
    token_losses: Tensor, mask: Tensor, length_normalization: str, normalize_constant: float
) -> Tensor:
    """One loss per response (B,); an empty response gives 0."""
    if length_normalization == "masked_normalize":
        return masked_normalize(token_losses, mask, -1, normalize_constant)
    if length_normalization == "masked_mean":
        return masked_normalize(token_losses, mask, -1) / mask.sum(-1).clamp(min=1)
    raise ValueError(
        f"unknown length_normalization {length_normalization!r}; allowed: masked_mean, masked_normalize"
    )


def grpo_microbatch_train_step(
    policy_log_probs: Float[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
    gradient_accumulation_steps: float,
    loss_type: LossType,
    raw_rewards: Float[Tensor, "B 1"] | None = None,
    advantages: Float[Tensor, "B 1"] | None = None,
    old_log_probs: Float[Tensor, "B S"] | None = None,
    cliprange: ClipRange | None = None,
    length_normalization: Literal["masked_mean", "masked_normalize"] = "masked_mean",
    normalize_constant: float = 1.0,
    token_penalty: Float[Tensor, "B S"] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Back-propagate the policy-gradient loss of one microbatch.

    The token losses are averaged over each response (`masked_mean`) or summed and divided by
    `normalize_constant` (`masked_normalize`), averaged over the batch, and divided by the accumulation
    steps, which may be fractional: minibatch rows over microbatch rows weighs uneven microbatches exactly.
    `token_penalty` (KL to a reference) is added to each token's loss.

    Returns (the loss that was back-propagated, metadata): `empty_responses`, and for ratio losses
    `ratio_max` and, when clipping, `clip_fraction`, all over tokens under the mask. A mask that is not
    boolean and NaN under the mask raise ValueError; NaN outside it affects nothing.
    """
    log_probs = _masked(policy_log_probs, response_mask)
    require_finite(policy_log_probs, response_mask)
    old = None if old_log_probs is None else _masked(old_log_probs, response_mask)
    token_losses, details = compute_policy_gradient_loss(
        log_probs, loss_type, raw_rewards, advantages, old, cliprange
    )
    if token_penalty is not None:
        token_losses = token_losses + token_penalty
    responses = _response_losses(token_losses, response_mask, length_normalization, normalize_constant)
    loss = responses.mean() / gradient_accumulation_steps
    loss.backward()
    metadata = {"empty_responses": (~response_mask.any(-1)).sum()}
    if "ratio" in details:
        metadata["ratio_max"] = details["ratio"].masked_fill(~response_mask, 0.0).max()
    if "is_clipped" in details:
        metadata["clip_fraction"] = masked_mean(details["is_clipped"].float(), response_mask)
    return loss.detach(), metadata
