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
        prompt_ids = encode_prompt(request, params.max_tokens, tokenizer, max_positions)
        for sample in range(request.samples):
            numbers = streams.uniforms(request.prompt_id, occurrences[request.prompt_id], sample, count)
            rows.append(Row(index, request.prompt_id, sample, prompt_ids, numbers))
        occurrences[request.prompt_id] += 1
    return rows


def encode_prompt(
    request: GenerationRequest, max_tokens: int, tokenizer: TextTokenizer, max_positions: int
) -> tuple[int, ...]:
    """Token ids of a prompt; UserError if there are none, or too many for `max_tokens` more."""
    prompt_ids = tuple(tokenizer.encode(request.text))
    if not prompt_ids:
        raise UserError(f"prompt {request.prompt_id}: it has no tokens, so there is nothing to continue")
    if len(prompt_ids) + max_tokens > max_positions:
        raise UserError(
            f"prompt {request.prompt_id}: {len(prompt_ids)} prompt tokens and max_tokens {max_tokens} exceed "
            f"the model's {max_positions} positions; shorten max_tokens or leave the prompt out"
        )
    return prompt_ids
