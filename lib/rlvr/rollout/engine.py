"""The contract between the training loop and whatever generates text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from torch import Tensor


@dataclass(frozen=True)
class SamplingParams:
    """How to draw responses. Temperature 0 is greedy.

    A stop string of plain text stays at the end of the response's text if `keep_stop`. One that is a special
    token of the tokenizer (`<|im_end|>`) ends a response as EOS does: the token stays in `token_ids`, the
    text ends before it, and `min_tokens` forbids it. A special token inside a longer one never matches.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    keep_stop: bool = True


@dataclass(frozen=True)
class GenerationRequest:
    """`samples` responses to one templated prompt; `prompt_id` is part of their random streams."""

    prompt_id: str
    text: str
    samples: int


@dataclass(frozen=True)
class Rollout:
    """One response.

    `token_ids` holds every sampled token, the one that ends the response included; `log_probs` are natural
    logarithms of the untempered (temperature 1, unfiltered) model distribution, one per sampled token.
    `text` is the decoded response without special tokens.
    """

    prompt_id: str
    sample: int
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length"]
    log_probs: tuple[float, ...]


class RolloutEngine(Protocol):
    """A context manager that samples from the current weights; prompt and response fit `max_positions`."""

    max_positions: int

    def generate(
        self, requests: Sequence[GenerationRequest], params: SamplingParams, seed: int
    ) -> list[Rollout]:
        """Return the rollouts of each request, in request order, samples of one request side by side."""

    def check_prompts(self, requests: Sequence[GenerationRequest], max_tokens: int) -> int:
        """Tokens of the longest prompt; UserError for an empty one, or if `max_tokens` more do not fit."""

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Copy the trainer's weights (cast to the engine's dtype); every weight must be given."""

    def named_weights(self) -> Iterable[tuple[str, Tensor]]:
        """The engine's own weights, as it samples with them (the dtype contract reads these)."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...
