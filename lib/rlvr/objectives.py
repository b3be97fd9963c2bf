"""Masked reductions, policy-gradient losses and microbatch steps (PPO/GRPO/DAPO family).

Shapes: B responses, S token positions. Log-probabilities are natural logarithms of the sampled tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlvr.advantages.groups import group_advantages, response_rewards

LengthNormalization = Literal["masked_mean", "masked_normalize"]
LossType = Literal["no_baseline", "reinforce_with_baseline", "grpo_clip", "grpo_no_clip", "gspo_clip"]
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
    fp32, shape (B,). Lists of unequal length, a length that is no multiple of the group size, and a reward
    that is missing or not finite raise ValueError.
    """
    if len(rollout_responses) != len(repeated_ground_truths):
        raise ValueError(
            f"{len(rollout_responses)} rollout_responses but "
            f"{len(repeated_ground_truths)} repeated_ground_truths"
        )
    scores = response_rewards(reward_fn, rollout_responses, repeated_ground_truths)
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


def compute_gspo_loss(
    advantages: Float[Tensor, "B 1"],
    policy_log_probs: Float[Tensor, "B S"],
    old_log_probs: Float[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
    cliprange: ClipRange,
) -> tuple[Float[Tensor, "B S"], dict[str, Tensor]]:
    """As `compute_grpo_clip_loss` with one ratio a response, s = (π(y)/π_old(y))^(1/|y|), at all its tokens.

    GSPO (Zheng et al. 2025, arXiv:2507.18071, equations 5 and 7). Averaged over each response's tokens and
    then over responses it is GSPO's objective; the mean over all tokens weighs responses by their length.
    """
    differences = _masked(policy_log_probs - old_log_probs, response_mask)
    lengths = response_mask.sum(-1, keepdim=True).clamp(min=1)
    sequence = (differences.sum(-1, keepdim=True) / lengths).expand_as(differences)
    return compute_grpo_clip_loss(advantages, sequence, torch.zeros_like(sequence), cliprange)


def importance_weights(
    policy_log_probs: Float[Tensor, "B S"],
    engine_log_probs: Float[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
    cap: float,
    level: Literal["token", "sequence"],
) -> Float[Tensor, "B S"]:
    """Weights π/μ of what the engine μ sampled, for the loss of the trainer's policy π; 1 outside the mask.

    `token`: min(π/μ, cap) token by token, truncated importance sampling (Yao et al. 2025, "Your efficient
    RL framework secretly brings you off-policy RL training"). `sequence`: the ratio of the whole response at
    each of its tokens, or 0 where it exceeds `cap`, masked importance sampling (Qi et al. 2025,
    arXiv:2510.26788). No gradient flows through them. NaN under the mask
    raises ValueError.
    """
    differences = _masked((policy_log_probs - engine_log_probs).detach(), response_mask)
    require_finite(differences, response_mask)
    if level == "token":
        weights = differences.exp().clamp(max=cap)
    else:
        ratio = differences.sum(-1, keepdim=True).exp()
        weights = torch.where(ratio <= cap, ratio, torch.zeros_like(ratio)).expand_as(differences)
    return torch.where(response_mask, weights, torch.ones_like(differences))


def compute_policy_gradient_loss(
    policy_log_probs: Float[Tensor, "B S"],
    loss_type: LossType,
    raw_rewards: Float[Tensor, "B 1"] | None = None,
    advantages: Float[Tensor, "B 1"] | None = None,
    old_log_probs: Float[Tensor, "B S"] | None = None,
    cliprange: ClipRange | None = None,
    response_mask: Bool[Tensor, "B S"] | None = None,
) -> tuple[Float[Tensor, "B S"], dict[str, Tensor]]:
    """Per-token loss of the chosen type, with its metadata.

    What a type needs and did not get, or an unknown type, raises a ValueError that names it.
    """

    def missing(name: str) -> ValueError:
        return ValueError(f"loss_type {loss_type!r} needs {name}")

    def need(name: str, value: Tensor | None) -> Tensor:
        if value is None:
            raise missing(name)
        return value

    def clipping() -> ClipRange:
        if cliprange is None:
            raise missing("cliprange")
        return cliprange

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
                clipping(),
            )
        case "grpo_no_clip":
            ratio = _ratio(policy_log_probs, need("old_log_probs", old_log_probs))
            return -ratio * need("advantages", advantages), {"ratio": ratio.detach()}
        case "gspo_clip":
            return compute_gspo_loss(
                need("advantages", advantages),
                policy_log_probs,
                need("old_log_probs", old_log_probs),
                need("response_mask", response_mask),
                clipping(),
            )
    raise ValueError(
        f"unknown loss_type {loss_type!r}; "
        "allowed: no_baseline, reinforce_with_baseline, grpo_clip, grpo_no_clip, gspo_clip"
    )


def require_finite(log_probs: Tensor, response_mask: Tensor, name: str = "policy_log_probs") -> None:
    """Raise ValueError if a log-probability under the mask is NaN."""
    broken = torch.isnan(log_probs.detach()) & response_mask
    if broken.any():
        row, position = broken.nonzero()[0].tolist()
        raise ValueError(f"{name} is NaN under the mask, first at row {row}, position {position}")


def _require_shape(name: str, tensor: Tensor | None, *shape: int) -> None:
    """Raise ValueError for a tensor that would broadcast, and so mean something else."""
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{name} is {tuple(tensor.shape)}, not {shape}")


def sft_microbatch_train_step(
    policy_log_probs: Float[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
    gradient_accumulation_steps: float,
    normalize_constant: float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Back-propagate minus the batch mean of the masked sum, over constant and accumulation steps.

    Returns (the loss that was back-propagated, metadata). A mask that is not boolean or of another shape, and
    NaN under the mask raise ValueError.
    """
    _require_shape("response_mask", response_mask, *policy_log_probs.shape)
    per_response = masked_normalize(policy_log_probs, response_mask, -1, normalize_constant)
    require_finite(policy_log_probs, response_mask)
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
    length_normalization: LengthNormalization = "masked_mean",
    normalize_constant: float = 1.0,
    token_penalty: Float[Tensor, "B S"] | None = None,
    token_weights: Float[Tensor, "B S"] | None = None,
    loss_scale: float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Back-propagate the policy-gradient loss of one microbatch.

    The token losses are averaged over each response (`masked_mean`) or summed and divided by
    `normalize_constant` (`masked_normalize`), averaged over the batch, and divided by the accumulation
    steps, which may be fractional: minibatch rows over microbatch rows weighs uneven microbatches exactly.
    `token_weights` (importance weights) multiply each token's policy loss; `token_penalty` (KL to a
    reference) is added to it. `loss_scale` multiplies what is back-propagated, not what is returned, so that
    gradients of float16 compute stay within its range.

    Returns (the loss before scaling, metadata): `empty_responses`, and for ratio losses
    `ratio_max` and, when clipping, `clip_fraction`, all over tokens under the mask. A mask that is not
    boolean, other shapes and NaN under the mask raise ValueError; NaN outside it affects nothing.
    """
    _require_shape("response_mask", response_mask, *policy_log_probs.shape)
    _require_shape("old_log_probs", old_log_probs, *policy_log_probs.shape)
    _require_shape("raw_rewards", raw_rewards, len(policy_log_probs), 1)
    _require_shape("advantages", advantages, len(policy_log_probs), 1)
    log_probs = _masked(policy_log_probs, response_mask)
    require_finite(policy_log_probs, response_mask)
    old = None
    if old_log_probs is not None:
        old = _masked(old_log_probs, response_mask)
        require_finite(old, response_mask, "old_log_probs")
    token_losses, details = compute_policy_gradient_loss(
        log_probs, loss_type, raw_rewards, advantages, old, cliprange, response_mask
    )
    if token_weights is not None:
        token_losses = token_losses * token_weights
    if token_penalty is not None:
        token_losses = token_losses + token_penalty
    responses = _response_losses(token_losses, response_mask, length_normalization, normalize_constant)
    loss = responses.mean() / gradient_accumulation_steps
    (loss * loss_scale).backward()
    metadata = {"empty_responses": (~response_mask.any(-1)).sum()}
    if "ratio" in details:
        metadata["ratio_max"] = details["ratio"].masked_fill(~response_mask, 0.0).max()
    if "is_clipped" in details:
        metadata["clip_fraction"] = masked_mean(details["is_clipped"].float(), response_mask)
    return loss.detach(), metadata
