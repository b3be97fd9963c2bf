"""A step's groups as tensors, with their log-probabilities before the update, and what they show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlvr.config.precision import GrpoConfig, TrainerConfig
from rlvr.models.label_scores import Scoring
from rlvr.models.policy_model import PolicyModel
from rlvr.objectives import importance_weights, masked_mean
from rlvr.policy import collate
from rlvr.precision import PrecisionMode, torch_dtype
from rlvr.processes import share_out, sum_over_processes
from rlvr.training.groups import Group
from rlvr.training.microbatches import microbatches

_BY_ROWS = TrainerConfig()


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


def response_log_probs(
    model: PolicyModel,
    batch: dict[str, Tensor],
    microbatch_size: int,
    entropy: bool,
    softmax_dtype: torch.dtype = torch.float32,
    trainer: TrainerConfig = _BY_ROWS,
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities (B, S) of the labels under `model`, and token entropies if asked; no gradients.

    Zero outside the response mask. `model`: one of `load_policy`. Equal rows are computed once. Processes
    that share the job compute their share, and all get everything.
    """
    input_ids, labels, mask, place = distinct_rows(
        batch["input_ids"], batch["labels"], batch["response_mask"]
    )
    log_probs = torch.zeros(mask.shape, device=mask.device)
    entropies = torch.zeros_like(log_probs) if entropy else None
    scoring = Scoring(entropy, softmax_dtype, trainer.vocabulary_chunk)
    every = torch.arange(len(mask), device=mask.device)
    with torch.no_grad():
        for rows, own in share_out(microbatches(every, mask, microbatch_size, trainer.microbatch_tokens)):
            width = trimmed_width(mask[rows])
            of_tokens, of_entropies = model.label_scores(
                input_ids[rows, :width], labels[rows, :width], mask[rows, :width], scoring
            )
            if not own:
                continue
            log_probs[rows, :width] = of_tokens.float()
            if entropies is not None and of_entropies is not None:
                entropies[rows, :width] = of_entropies.float()
    log_probs = sum_over_processes(log_probs)[place]
    return log_probs, None if entropies is None else sum_over_processes(entropies)[place]


def distinct_rows(
    input_ids: Int[Tensor, "B S"], labels: Int[Tensor, "B S"], mask: Bool[Tensor, "B S"]
) -> tuple[Int[Tensor, "U S"], Int[Tensor, "U S"], Bool[Tensor, "U S"], Int[Tensor, " B"]]:
    """The rows that differ, and which of them each row is: a group often holds a response several times."""
    stacked = torch.stack([input_ids, labels, mask.long()])
    (input_ids, labels, kept), place = stacked.unique(dim=1, return_inverse=True)
    return input_ids, labels, kept.bool(), place


def trimmed_width(mask: Bool[Tensor, "B S"]) -> int:
    """Columns up to the last response token of any row: what is right of it is padding."""
    return int(mask.any(0).nonzero().max()) + 1


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
