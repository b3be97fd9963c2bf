"""The responses that requests ask for, with everything that their draws depend on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlvr.errors import UserError
from rlvr.models.tokenizers import TextTokenizer
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.streams import RolloutStreams


@dataclass(frozen=True)
class Asked:
    """A response that is asked for: `occurrence` counts the requests with its prompt id before its own."""

    prompt_id: str
    occurrence: int
    sample: int
    prompt_ids: tuple[int, ...]


@dataclass(frozen=True)
class Row(Asked):
    """A response to be drawn by `uniforms`, one number a token, or none."""

    uniforms: np.ndarray


def ask(
    requests: Sequence[GenerationRequest], max_tokens: int, tokenizer: TextTokenizer, max_positions: int
) -> list[Asked]:
    """The responses of all requests, in order; UserError for an empty prompt or one that leaves no room."""
    occurrences: Counter[str] = Counter()
    asked = []
    for request in requests:
        prompt_ids = encode_prompt(request, max_tokens, tokenizer, max_positions)
        occurrence = occurrences[request.prompt_id]
        asked += [Asked(request.prompt_id, occurrence, n, prompt_ids) for n in range(request.samples)]
        occurrences[request.prompt_id] += 1
    return asked


def plan_rows(
    requests: Sequence[GenerationRequest],
    params: SamplingParams,
    seed: int,
    tokenizer: TextTokenizer,
    max_positions: int,
) -> list[Row]:
    """The rows of all requests, in order; UserError as `ask`."""
    streams = RolloutStreams(seed)
    count = params.max_tokens if params.temperature > 0 else 0
    return [
        Row(**vars(one), uniforms=streams.uniforms(one.prompt_id, one.occurrence, one.sample, count))
        for one in ask(requests, params.max_tokens, tokenizer, max_positions)
    ]


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


def longest_prompt(
    requests: Sequence[GenerationRequest], max_tokens: int, tokenizer: TextTokenizer, max_positions: int
) -> int:
    """Tokens of the longest prompt; UserError for an empty one, or if `max_tokens` more do not fit."""
    return max(len(encode_prompt(request, max_tokens, tokenizer, max_positions)) for request in requests)
