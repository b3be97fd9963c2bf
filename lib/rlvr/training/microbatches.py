"""Which rows of a batch go through the model together."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def row_widths(mask: Bool[Tensor, "B S"]) -> Int[Tensor, " B"]:
    """Columns of each row up to its last response token: what is right of it is padding."""
    return (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)


def microbatches(
    rows: Int[Tensor, " R"], mask: Bool[Tensor, "B S"], size: int, tokens: int | None
) -> list[Int[Tensor, " _"]]:
    """The rows, indices into `mask`, in parts of `size`, or of at most `tokens` together.

    By tokens the longest come first, in their order where they are equally long; rows × longest row, padding
    included, is within the budget but for a row that exceeds it alone.
    """
    if tokens is None:
        return list(rows.split(size))
    widths, order = row_widths(mask[rows]).sort(descending=True, stable=True)
    starts, lengths = [0], widths.tolist()
    for place in range(1, len(lengths)):
        if (place + 1 - starts[-1]) * lengths[starts[-1]] > tokens:
            starts.append(place)
    return list(rows[order].tensor_split(starts[1:]))
