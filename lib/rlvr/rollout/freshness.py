"""Whether an engine samples from the policy that it was given: its log-probabilities against the policy's."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from rlvr.policy import collate, get_response_log_probs
from rlvr.rollout.engine import Rollout
from rlvr.rollout.rows import Asked
from rlvr.rollout.streams import named_generator

# Log-probabilities, at temperature 1, of the tokens of each response after its prompt.
Reference = Callable[[Sequence[tuple[int, ...]], Sequence[tuple[int, ...]]], list[list[float]]]

# Largest mean absolute difference, in nats, of two correct computations of a token's log-probability.
# Measured on a CPU: 7e-7, 1.5e-3 and 0.017 at most (bench/freshness.py; docs/vllm.md).
TOLERANCES = {torch.float32: 5e-5, torch.float16: 6e-3, torch.bfloat16: 5e-2}
PROBES, PROBE_PROMPT, PROBE_RESPONSE = 8, 8, 16


class StaleEngine(RuntimeError):
    """An engine does not sample from the weights that it was given."""


def policy_reference(model: nn.Module, pad_id: int) -> Reference:
    """What the model itself, as its weights are at each call, assigns to responses."""
    return partial(_log_probs, model, pad_id)


@torch.no_grad()
def _log_probs(
    model: nn.Module, pad_id: int, prompts: Sequence[tuple[int, ...]], responses: Sequence[tuple[int, ...]]
) -> list[list[float]]:
    device = next(model.parameters()).device
    tokens = collate(prompts, responses, pad_id)
    scores = get_response_log_probs(model, tokens["input_ids"].to(device), tokens["labels"].to(device))
    rows = zip(scores["log_probs"].cpu(), tokens["response_mask"], strict=True)
    return [row[mask].tolist() for row, mask in rows]


def probes(vocabulary: int, max_positions: int) -> tuple[list[Asked], int]:
    """Responses to prompts of random tokens, always the same, and how many tokens each is to have."""
    length = min(PROBE_PROMPT, max_positions // 2)
    prompts = named_generator("freshness", vocabulary).integers(vocabulary, size=(PROBES, length)).tolist()
    asked = [Asked(f"probe {index}", 0, 0, tuple(prompt)) for index, prompt in enumerate(prompts)]
    return asked, min(PROBE_RESPONSE, max_positions - length)


def differences(rollouts: Sequence[Rollout], reference: Reference) -> Tensor:
    """How far the rollouts' log-probabilities are from the reference's, in nats: float64 (tokens,)."""
    expected = reference([one.prompt_ids for one in rollouts], [one.token_ids for one in rollouts])
    drawn = [one.log_probs for one in rollouts]
    ours, theirs = (torch.tensor(list(chain(*rows)), dtype=torch.float64) for rows in (drawn, expected))
    return (ours - theirs).abs()


def check_fresh(rollouts: Sequence[Rollout], reference: Reference, tolerance: float) -> None:
    """StaleEngine unless the rollouts' log-probabilities are those of the reference, up to `tolerance` nats.

    The mean difference over all tokens counts: the largest one grows with their number.
    """
    difference = float(differences(rollouts, reference).mean())
    if not difference <= tolerance:
        raise StaleEngine(
            "the engine is stale: after an update of its weights, log-probabilities of sampled tokens differ "
            f"from those of the policy by {difference:.3g} nats on average, where {tolerance:g} is allowed; "
            "what it samples is not from the policy that is trained"
        )
