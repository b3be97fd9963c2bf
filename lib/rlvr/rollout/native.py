"""Batched sampling from a `Decoder`, with a preallocated key-value cache."""

from collections.abc import Iterable

import torch
from torch import Tensor

from rlvr.models.cache import KvCache
from rlvr.models.decoder import Decoder
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.tokenizers import TextTokenizer
from rlvr.models.weights import copy_weights
from rlvr.rollout.batched import BatchedEngine
from rlvr.rollout.decode_step import DecodeStep


class NativeEngine(BatchedEngine):
    """Holds its own copy of the weights, stored and computed in `dtype`; logits are cast to fp32.

    With `share_weights` a given decoder that is stored and computed in `dtype` is used itself, not copied:
    for weights that do not change while the engine is open. Any other model is copied all the same.
    The cache of a batch takes 2 × layers × kv_heads × head_dim × (prompt + max_tokens) numbers for each
    distinct beginning of a response, so as many as there are rows at most.
    """

    def __init__(
        self,
        model: Decoder | DecoderConfig,
        tokenizer: TextTokenizer,
        dtype: torch.dtype,
        max_batch_rows: int,
        device: str | torch.device = "cpu",
        share_weights: bool = False,
    ):
        """`model`: a decoder to start from, or only its config (then call `load_weights` first)."""
        config = model if isinstance(model, DecoderConfig) else model.config
        end_ids: frozenset[int] = model.end_ids if isinstance(model, Decoder) else frozenset()
        super().__init__(tokenizer, config.max_positions, max_batch_rows, torch.device(device), end_ids)
        self._cache: KvCache | None = None
        self._shared = False
        self._model: Decoder
        if share_weights and isinstance(model, Decoder) and _computes_in(model, dtype):
            self._shared, self._model = True, model
        else:
            self._model = Decoder(config, master=dtype, compute=dtype).to(device).requires_grad_(False)
            if isinstance(model, Decoder):
                self.load_weights(model.named_parameters())
        self._step = DecodeStep(self._model)

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Copy the trainer's weights by name, cast to the engine's dtype."""
        if self._shared:
            raise RuntimeError("this engine samples with another model's weights, so it can load none")
        copy_weights(named_tensors, dict(self.named_weights()))

    def named_weights(self) -> Iterable[tuple[str, Tensor]]:
        """The weights that it samples with."""
        return self._model.named_parameters()

    def _prefill(self, prompts: list[tuple[int, ...]], max_tokens: int) -> Tensor:
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._device)
        longest = max(map(len, prompts))
        padded = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
        input_ids = torch.tensor(padded, dtype=torch.long, device=self._device)
        cache = KvCache.allocate(self._model.config, len(prompts), longest, self._model.compute, self._device)
        hidden = self._model.hidden(input_ids, cache=cache)
        last = hidden[torch.arange(len(prompts), device=self._device), lengths - 1]
        cache.lengths, cache.longest = lengths, longest
        # The last token drawn is never fed back, so it needs no slot.
        everyone = torch.arange(len(prompts), device=self._device)
        self._cache = cache.select(everyone, capacity=longest + max_tokens - 1)
        return self._model.head(last)

    def _advance(self, tokens: Tensor) -> Tensor:
        assert self._cache is not None  # a batch has begun
        return self._step(self._cache, tokens)

    def _keep(self, branches: Tensor) -> None:
        assert self._cache is not None  # a batch has begun
        self._cache = self._cache.select(branches)

    def _release(self) -> None:
        self._cache = None
        self._step.forget()


def _computes_in(model: Decoder, dtype: torch.dtype) -> bool:
    return model.compute == dtype and all(weight.dtype == dtype for weight in model.parameters())
