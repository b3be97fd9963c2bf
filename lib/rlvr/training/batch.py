"""A step's groups as tensors, with their log-probabilities before the update, and what they show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlvr.config.precision import GrpoConfig
from rlvr.models.policy_model import PolicyModel
from rlvr.objectives import importance_weights, masked_mean
from rlvr.policy import collate
from rlvr.precision import PrecisionMode, torch_dtype
from rlvr.training.groups import Group
from rlvr.training.scores import response_log_probs


@dataclass(frozen=True)
class TrainingBatch:
    """The kept groups of a step as tensors: B responses in group order, S label positions.

    `old_log_probs`, `base_log_probs` and `entropy` belong to the policy before the step's first update
    (without dropout), the base's being None where they are not asked for; `engine_log_probs` are what the
    rollout engine reported. Zero outside the mask.
    `engine_weights` correct the loss for the difference between the two; None where the mode does not.
    `scored`: whether `old_log_probs` and `entropy` are there; else they are zero until the update, whose own
    forward pass has them, puts them in place.
    """

    input_ids: Int[Tensor, "B S"]
    labels: Int[Tensor, "B S"]
    response_mask: Bool[Tensor, "B S"]
    rewards: Float[Tensor, "B 1"]
    advantages: Float[Tensor, "B 1"]
    engine_log_probs: Float[Tensor, "B S"]
    old_log_probs: Float[Tensor, "B S"]
    base_log_probs: Float[Tensor, "B S"] | None
    entropy: Float[Tensor, "B S"]
    engine_weights: Float[Tensor, "B S"] | None
    scored: bool


def is_on_policy(config: GrpoConfig, mode: PrecisionMode) -> bool:
    """Whether the only update of a step has the policy of before it in its own forward pass.

    It does not where that pass drops out; importance weights and the penalty for leaving the base are made
    of scores that stand before the update.
    """
    one_update = config.epochs == config.minibatches == 1
    return one_update and not mode.dropout.rate and mode.importance_cap is None and config.loss.kl_beta == 0


def make_batch(
    groups: Sequence[Group],
    advantages: Float[Tensor, " B"],
    policy: PolicyModel,
    base: PolicyModel | None,
    pad_id: int,
    config: GrpoConfig,
    mode: PrecisionMode,
    device: torch.device,
) -> TrainingBatch:
    """Collate the groups and score them under the current policy and, where it is given, the base.

    The policy's scores are left to the update where it makes them itself (`is_on_policy`).
    `advantages`: of their responses in group order, see `rlvr.training.advantage`.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    tokens = collate([r.prompt_ids for r in rollouts], [r.token_ids for r in rollouts], pad_id)
    tokens = {name: tensor.to(device) for name, tensor in tokens.items()}
    mask = tokens["response_mask"]
    rewards = torch.tensor([reward for group in groups for reward in group.rewards], device=device)
    engine_log_probs = torch.zeros(mask.shape, device=device)
    engine_log_probs[mask] = torch.tensor([value for r in rollouts for value in r.log_probs], device=device)
    rows, softmax, trainer = config.microbatch_size, torch_dtype(mode.logits), config.trainer
    scored = not is_on_policy(config, mode)
    if scored:
        old_log_probs, entropies = response_log_probs(policy, tokens, rows, True, softmax, trainer)
        assert entropies is not None  # they were asked for
        entropy = entropies
    else:
        old_log_probs, entropy = torch.zeros_like(engine_log_probs), torch.zeros_like(engine_log_probs)
    base_log_probs = None
    if base is not None:
        base_log_probs, _ = response_log_probs(base, tokens, rows, False, softmax, trainer)
    weights = None
    if mode.importance_cap is not None:
        weights = importance_weights(
            old_log_probs, engine_log_probs, mask, mode.importance_cap, mode.importance_level
        )
    return TrainingBatch(
        **tokens,
        rewards=rewards[:, None],
        advantages=advantages[:, None],
        engine_log_probs=engine_log_probs,
        old_log_probs=old_log_probs,
        base_log_probs=base_log_probs,
        entropy=entropy,
        engine_weights=weights,
        scored=scored,
    )


def batch_metrics(batch: TrainingBatch) -> dict[str, float]:
    """Entropy per token, KL to the base per response (k1, k3: Schulman 2020), engine/trainer mismatch.

    The KL is NaN in a batch without the base's log-probabilities.
    `importance_weight_mean`: over tokens; 1 where the mode does not weigh.
    """
    mask, weights = batch.response_mask, batch.engine_weights
    mismatch = (batch.engine_log_probs - batch.old_log_probs).abs()
    return {
        "entropy": masked_mean(batch.entropy, mask).item(),
        **_kl_to_base(batch),
        "logprob_mismatch_mean": masked_mean(mismatch, mask).item(),
        "logprob_mismatch_max": mismatch.max().item(),
        "importance_weight_mean": 1.0 if weights is None else masked_mean(weights, mask).item(),
    }


def _kl_to_base(batch: TrainingBatch) -> dict[str, float]:
    if batch.base_log_probs is None:
        return {"kl_base_k1": math.nan, "kl_base_k3": math.nan}
    difference = batch.base_log_probs - batch.old_log_probs
    return {
        "kl_base_k1": -difference.sum(1).mean().item(),
        "kl_base_k3": (torch.expm1(difference) - difference).sum(1).mean().item(),
    }
