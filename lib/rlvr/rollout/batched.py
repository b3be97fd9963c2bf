"""The part that every engine of this package shares: plan rows, batch them, draw until all have ended."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Self

import torch
from torch import Tensor

from rlvr.errors import UserError
from rlvr.models.tokenizers import TextTokenizer
from rlvr.rollout.drawing import Drawing
from rlvr.rollout.engine import GenerationRequest, Rollout, SamplingParams
from rlvr.rollout.rows import Row, longest_prompt, plan_rows
from rlvr.rollout.sampling import check_sampling


class BatchedEngine(ABC):
    """A `RolloutEngine` over a model that can prefill prompts and then take one token a row.

    A response ends at the tokenizer's EOS and at each of the model's own `end_ids`.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        max_positions: int,
        max_batch_rows: int,
        device: torch.device,
        end_ids: Set[int],
    ):
        if max_batch_rows < 1:
            raise UserError(f"max_batch_rows is {max_batch_rows}; allowed is 1 or more")
        self._tokenizer = tokenizer
        self.max_positions = max_positions
        self._max_batch_rows = max_batch_rows
        self._device = device
        self._end_ids = end_ids | {tokenizer.eos_token_id}

    @abstractmethod
    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Copy weights by name, cast to the engine's dtype; a missing or unknown name is a UserError."""

    @abstractmethod
    def named_weights(self) -> Iterable[tuple[str, Tensor]]:
        """The engine's own weights."""

    @abstractmethod
    def _prefill(self, prompts: list[tuple[int, ...]], max_tokens: int) -> Tensor:
        """Begin a batch with a branch for each prompt; the next logits (B, V)."""

    @abstractmethod
    def _advance(self, tokens: Tensor) -> Tensor:
        """Append one token (B,) to each branch of the batch; the next logits (B, V)."""

    @abstractmethod
    def _keep(self, branches: Tensor) -> None:
        """Make the batch one of copies of the given branches, in that order and possibly repeated."""

    @abstractmethod
    def _release(self) -> None:
        """Forget the batch."""

    def _batches(self, rows: list[Row]) -> Iterator[list[int]]:
        """Indices of the rows that are drawn together."""
        for start in range(0, len(rows), self._max_batch_rows):
            yield list(range(start, min(start + self._max_batch_rows, len(rows))))

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[GenerationRequest], params: SamplingParams, seed: int
    ) -> list[Rollout]:
        """Rollouts of each request, in request order, the samples of a request side by side."""
        check_sampling(params)
        rows = plan_rows(requests, params, seed, self._tokenizer, self.max_positions)
        rollouts: dict[int, Rollout] = {}
        for batch in self._batches(rows):
            drawn = self._draw([rows[index] for index in batch], params)
            rollouts.update(zip(batch, drawn, strict=True))
        return [rollouts[index] for index in range(len(rows))]

    def check_prompts(self, requests: Sequence[GenerationRequest], max_tokens: int) -> int:
        """Tokens of the longest prompt; UserError for an empty one, or if `max_tokens` more do not fit."""
        return longest_prompt(requests, max_tokens, self._tokenizer, self.max_positions)

    def _draw(self, rows: list[Row], params: SamplingParams) -> list[Rollout]:
        """Draw the rows together; those that agree so far are one branch, which is computed once."""
        prompts = list(dict.fromkeys(row.prompt_ids for row in rows))
        position = {prompt: index for index, prompt in enumerate(prompts)}
        branch = torch.tensor([position[row.prompt_ids] for row in rows], device=self._device)
        drawing = Drawing(rows, params, self._tokenizer, self._end_ids, self._device)
        try:
            logits = self._prefill(prompts, params.max_tokens)
            tokens = drawing.draw(logits[branch])
            while (kept := drawing.remaining()) is not None:
                logits, branch = self._continue(logits.shape, branch[kept], tokens[kept])
                tokens = drawing.draw(logits[branch])
        finally:
            self._release()
        return drawing.rollouts()

    def _continue(self, shape: torch.Size, branch: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The next logits of each distinct continuation of a branch, and the continuation of each row.

        `shape` (B, V) is that of the logits before; `branch` and `tokens` (R,) are the rows that go on.
        """
        branches, vocabulary = shape
        continued, branch = torch.unique(branch * vocabulary + tokens, return_inverse=True)
        parents = continued // vocabulary
        # A copy of the cache, so only where a branch has split or ended.
        if len(parents) != branches or len(parents.unique()) != branches:
            self._keep(parents)
        return self._advance(continued % vocabulary), branch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._release()
