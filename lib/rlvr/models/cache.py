"""The preallocated key-value cache of decoding."""

from typing import Self

import torch
from torch import Tensor

from rlvr.models.decoder_config import DecoderConfig

# Slots that attention reads come in multiples of this on a GPU, so that shapes change rarely and a step of
# decoding can be replayed. On a CPU it reads no more than there are.
GPU_WINDOW = 128


class KvCache:
    """Keys and values per layer, (rows, kv_heads, capacity, head_dim); row r has `lengths[r]` valid slots.

    Rows may have different lengths: slots past a row's length hold rubbish until they are overwritten, and
    are never looked at. `longest` is the greatest length, kept on the host to avoid a device sync.
    """

    def __init__(self, layers: list[tuple[Tensor, ...]], lengths: Tensor, longest: int):
        self.layers = layers
        self.lengths = lengths
        self.longest = longest

    @classmethod
    def allocate(
        cls, config: DecoderConfig, rows: int, capacity: int, dtype: torch.dtype, device: torch.device | str
    ) -> Self:
        """An empty cache."""
        shape = (rows, config.kv_heads, capacity, config.head_dim)
        # Zeros, not empty: rubbish in unused slots must be finite, since attention multiplies it by zero.
        layers: list[tuple[Tensor, ...]] = [
            (torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device))
            for _ in range(config.layers)
        ]
        return cls(layers, torch.zeros(rows, dtype=torch.long, device=device), 0)

    @property
    def window(self) -> int:
        """How many slots the next token's attention reads: all that any row may look at, see GPU_WINDOW."""
        multiple = GPU_WINDOW if self.lengths.is_cuda else 1
        return min(self.layers[0][0].shape[2], -(-(self.longest + 1) // multiple) * multiple)

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (rows, kv_heads, S, head_dim); return those that attention reads.

        S > 1 is the first fill, from slot 0. S = 1 appends at each row's length.
        """
        stored_keys, stored_values = self.layers[layer]
        length = keys.shape[2]
        if length > 1:
            stored_keys[:, :, :length] = keys
            stored_values[:, :, :length] = values
            return keys, values
        rows = torch.arange(len(self.lengths), device=keys.device)
        stored_keys[rows, :, self.lengths] = keys[:, :, 0]
        stored_values[rows, :, self.lengths] = values[:, :, 0]
        window = self.window
        return stored_keys[:, :, :window], stored_values[:, :, :window]

    def positions(self, length: int) -> Tensor:
        """Positions of the next `length` tokens, broadcastable to (rows, length)."""
        if length > 1:
            return torch.arange(length, device=self.lengths.device)[None]
        return self.lengths[:, None]

    def mask(self, length: int) -> Tensor | None:
        """Which slots the next tokens may look at: None for the causal first fill, else (rows, 1, 1, L)."""
        if length > 1:
            return None
        slots = torch.arange(self.window, device=self.lengths.device)
        return (slots[None] <= self.lengths[:, None])[:, None, None]

    def advance(self) -> None:
        """Count the token that was appended to every row."""
        self.lengths += 1
        self.longest += 1

    def select(self, rows: Tensor, capacity: int | None = None) -> "KvCache":
        """A new cache of the given rows, in that order and possibly repeated, at a new capacity if given."""
        selected: list[tuple[Tensor, ...]] = []
        for index, layer in enumerate(self.layers):
            selected.append(tuple(_select_rows(stored, rows, capacity) for stored in layer))
            if capacity is None:
                self.layers[index] = ()  # freed layer by layer: at most one layer exists twice
        return KvCache(selected, self.lengths[rows], self.longest)


def _select_rows(stored: Tensor, rows: Tensor, capacity: int | None) -> Tensor:
    if capacity is None:
        return stored.index_select(0, rows)
    _, heads, used, head_dim = stored.shape
    grown = stored.new_zeros((len(rows), heads, capacity, head_dim))
    grown[:, :, :used] = stored.index_select(0, rows)
    return grown
