"""One row of a generation batch per response, with everything that its draws depend on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlvr.errors import UserError
from rlvr.models.tokenizers import TextTokenizer
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.streams import RolloutStreams


@dataclass(frozen=True)
class Row:
    """A response to be drawn. `request`: index of its request; `uniforms`: one number a token, or none."""

    request: int
    prompt_id: str
    sample: int
    prompt_ids: tuple[int, ...]
    uniforms: np.ndarray


def plan_rows(
    requests: Sequence[GenerationRequest],
    params: SamplingParams,
    seed: int,
    tokenizer: TextTokenizer,
    max_positions: int,
) -> list[Row]:
    """The rows of all requests, in order; UserError for an empty prompt or one that leaves no room."""
    streams = RolloutStreams(seed)
    count = params.max_tokens if params.temperature > 0 else 0
    occurrences: Counter[str] = Counter()
    rows = []
    for index, request in enumerate(requests):
        prompt_ids = tuple(tokenizer.encode(request.text))
        _check_room(request.prompt_id, len(prompt_ids), params.max_tokens, max_positions)
        for sample in range(request.samples):
            numbers = streams.uniforms(request.prompt_id, occurrences[request.prompt_id], sample, count)
            rows.append(Row(index, request.prompt_id, sample, prompt_ids, numbers))
        occurrences[request.prompt_id] += 1
    return rows


def _check_room(prompt_id: str, prompt_tokens: int, max_tokens: int, max_positions: int) -> None:
    if prompt_tokens == 0:
        raise UserError(f"prompt {prompt_id}: it has no tokens, so there is nothing to continue")
    if prompt_tokens + max_tokens > max_positions:
        raise UserError(
            f"prompt {prompt_id}: {prompt_tokens} prompt tokens and max_tokens {max_tokens} exceed the "
            f"model's {max_positions} positions; shorten max_tokens or leave the prompt out"
        )
