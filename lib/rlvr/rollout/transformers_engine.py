"""The same sampling for any causal language model of transformers."""

import copy
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rlvr.models.tokenizers import TextTokenizer
from rlvr.models.weights import copy_weights
from rlvr.rollout.batched import BatchedEngine
from rlvr.rollout.rows import Row

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import Cache


class TransformersEngine(BatchedEngine):
    """Holds a copy of the model in `dtype`, without autocast.

    Rows drawn together have prompts of one length, so nothing is padded, and no architecture's own handling
    of attention masks and positions comes into play.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: TextTokenizer,
        dtype: torch.dtype,
        max_batch_rows: int,
        device: str | torch.device = "cpu",
    ):
        from transformers import AutoModelForCausalLM

        positions = getattr(model.config, "max_position_embeddings", 2**31)
        end_ids: frozenset[int] = getattr(model, "end_ids", frozenset())
        super().__init__(tokenizer, positions, max_batch_rows, torch.device(device), end_ids)
        # Made anew, because `load_policy` may have replaced this instance's forward. `.to(dtype)` would cast
        # buffers too (RoPE's frequencies); made in `dtype`, each keeps the dtype that its architecture wants.
        made = AutoModelForCausalLM.from_config(copy.deepcopy(model.config), dtype=dtype)
        self._model = made.to(device).eval().requires_grad_(False)
        self._past: Cache | None = None
        self.load_weights(model.named_parameters())
        copy_weights(model.named_buffers(), dict(self._model.named_buffers()))

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Copy the trainer's weights by name, cast to the engine's dtype."""
        copy_weights(named_tensors, dict(self.named_weights()))

    def named_weights(self) -> Iterable[tuple[str, Tensor]]:
        """The engine's own copy."""
        return self._model.named_parameters()

    def _batches(self, rows: list[Row]) -> Iterator[list[int]]:
        def prompt_length(index: int) -> int:
            return len(rows[index].prompt_ids)

        for _, group in groupby(sorted(range(len(rows)), key=prompt_length), key=prompt_length):
            alike = list(group)
            for start in range(0, len(alike), self._max_batch_rows):
                yield alike[start : start + self._max_batch_rows]

    def _prefill(self, prompts: list[tuple[int, ...]], max_tokens: int) -> Tensor:
        input_ids = torch.tensor(prompts, dtype=torch.long, device=self._device)
        output = self._model(input_ids=input_ids, use_cache=True)
        self._past = output.past_key_values
        return output.logits[:, -1]

    def _advance(self, tokens: Tensor) -> Tensor:
        output = self._model(input_ids=tokens[:, None], past_key_values=self._past, use_cache=True)
        self._past = output.past_key_values
        return output.logits[:, -1]

    def _keep(self, branches: Tensor) -> None:
        assert self._past is not None  # a batch has begun
        self._past.batch_select_indices(branches)

    def _release(self) -> None:
        self._past = None
