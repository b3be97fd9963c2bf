"""The forward pass of decoding: one token of each branch, replayed as a CUDA graph where there is a GPU."""

import torch
from torch import Tensor

from rlvr.models.cache import KvCache
from rlvr.models.decoder import Decoder

# Steps of one shape before it is captured, so that one that soon changes is not.
STEPS_BEFORE_CAPTURE = 2


class DecodeStep:
    """Next logits (B, V) of a decoder from one token (B,) a row of a cache, which it extends.

    On a GPU a step launches some thousand small kernels, which takes the CPU several times as long as they
    run. So the kernels of a step are captured (CUDA graphs) and replayed until the cache or its window is
    another one: the same kernels in the same order, hence the same numbers. The logits are valid until the
    next call.
    """

    def __init__(self, model: Decoder):
        self._model = model
        self.forget()

    def forget(self) -> None:
        """Let go of the cache and of what was captured for it."""
        self._cache: KvCache | None = None
        self._window = self._steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._tokens: Tensor | None = None
        self._logits: Tensor | None = None

    def __call__(self, cache: KvCache, tokens: Tensor) -> Tensor:
        """Logits after `tokens`, which are appended to the cache."""
        logits = self._captured(cache, tokens) if tokens.is_cuda else self._forward(cache, tokens)
        cache.advance()
        return logits

    def _forward(self, cache: KvCache, tokens: Tensor) -> Tensor:
        return self._model.head(self._model.hidden(tokens[:, None], cache=cache)[:, 0])

    def _captured(self, cache: KvCache, tokens: Tensor) -> Tensor:
        if cache is not self._cache or cache.window != self._window:
            self.forget()
            self._cache, self._window = cache, cache.window
        self._steps += 1
        if self._steps <= STEPS_BEFORE_CAPTURE:
            return self._forward(cache, tokens)
        if self._graph is None:
            self._tokens, self._graph = tokens.clone(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._logits = self._forward(cache, self._tokens)
        assert self._tokens is not None and self._logits is not None  # they come with the graph
        self._tokens.copy_(tokens)
        self._graph.replay()
        return self._logits
