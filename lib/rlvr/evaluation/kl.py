"""KL divergence of a policy from the base, over the full vocabulary and by its estimators."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlvr.evaluation.estimators import clustered_mean
from rlvr.evaluation.records import KlResult
from rlvr.models.label_scores import MAX_LOGITS
from rlvr.models.policy_model import PolicyModel
from rlvr.policy import collate
from rlvr.rollout.engine import Rollout


@dataclass(frozen=True)
class ResponseKl:
    """Sums over the tokens of one response, in nats."""

    full: float
    k1: float
    k3: float


def sequence_kl(
    policy: PolicyModel,
    base: PolicyModel,
    input_ids: Int[Tensor, "B S"],
    labels: Int[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
    positions: int,
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """(full, k1, k3) of each row, summed over its response tokens, in float64; so many positions at a time.

    float64 because differences of fp32 log-probabilities cancel where the policy has hardly moved.

    full: Σ_t Σ_v π(v|t)·(log π(v|t) − log π₀(v|t)), exact given the prefixes. k1: Σ_t log π − log π₀ of the
    sampled token. k3: Σ_t (r − 1 − log r), r = π₀/π (Schulman 2020, "Approximating KL divergence"). Unbiased
    only for responses sampled from π at temperature 1.
    """
    # Of response tokens only: prompts and padding are most of the positions, and count for nothing.
    logits = (model.logits_in_parts(input_ids, response_mask, positions) for model in (policy, base))
    parts = zip(*logits, labels[response_mask].split(positions), strict=True)
    terms = zip(*(_token_terms(*part) for part in parts), strict=True)
    full, k1, k3 = (_row_sums(torch.cat(term), response_mask) for term in terms)
    return full, k1, k3


def _token_terms(
    of_policy: Float[Tensor, "N V"], of_base: Float[Tensor, "N V"], labels: Int[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
    """(full, k1, k3) of each position, from both models' logits."""
    log_p = torch.log_softmax(of_policy, dim=-1, dtype=torch.float64)
    log_q = torch.log_softmax(of_base, dim=-1, dtype=torch.float64)
    full = (log_p.exp() * (log_p - log_q)).sum(-1)
    log_ratio = (log_q - log_p).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return full, -log_ratio, torch.expm1(log_ratio) - log_ratio


def _row_sums(terms: Float[Tensor, " N"], mask: Bool[Tensor, "B S"]) -> Float[Tensor, " B"]:
    """Sums over each row of the terms at the true positions of `mask`, in their order."""
    placed = terms.new_zeros(mask.shape)
    placed[mask] = terms
    return placed.sum(-1)


@torch.inference_mode()
def measure_kl(
    policy: PolicyModel,
    base: PolicyModel,
    rollouts: Sequence[Rollout],
    pad_id: int,
    vocabulary: int,
    device: torch.device,
) -> list[ResponseKl]:
    """KL of each rollout, in order; equal responses to a prompt are computed once.

    Rows are batched so that all their logits would stay within `MAX_LOGITS`; those of a row that has more do
    not exist together.
    """
    order = sorted(
        {(r.prompt_ids, r.token_ids) for r in rollouts}, key=lambda pair: (sum(map(len, pair)), pair)
    )
    results: dict[tuple[tuple[int, ...], tuple[int, ...]], ResponseKl] = {}
    while order:
        row_size = sum(map(len, order[-1])) * vocabulary
        count = max(1, MAX_LOGITS // row_size)
        part, order = order[-count:], order[:-count]
        prompts, responses = zip(*part, strict=True)
        tokens = collate(prompts, responses, pad_id)
        on_device = {name: tensor.to(device) for name, tensor in tokens.items()}
        sums = sequence_kl(policy, base, **on_device, positions=max(1, MAX_LOGITS // vocabulary))
        rows = zip(*(term.tolist() for term in sums), strict=True)
        results.update((pair, ResponseKl(*row)) for pair, row in zip(part, rows, strict=True))
    return [results[r.prompt_ids, r.token_ids] for r in rollouts]


def summarise_kl(
    task: str, samples: int, rollouts: Sequence[Rollout], divergences: Sequence[ResponseKl]
) -> KlResult:
    """Means over responses with errors clustered by problem; `samples` rollouts of each lie side by side."""

    def mean(name: str) -> tuple[float, float | None]:
        values = torch.tensor([getattr(d, name) for d in divergences], dtype=torch.float64)
        return clustered_mean(values.view(-1, samples).mean(1).tolist())

    full, k1, k3 = mean("full"), mean("k1"), mean("k3")
    return KlResult(
        task=task,
        problems=len(rollouts) // samples,
        samples=samples,
        full=full[0],
        full_se=full[1],
        k1=k1[0],
        k1_se=k1[1],
        k3=k3[0],
        k3_se=k3[1],
        response_tokens=sum(len(r.token_ids) for r in rollouts) / len(rollouts),
    )
