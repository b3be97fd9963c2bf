"""Lists of tensors that are updated together: cut to size, flattened, written back."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor


def pieces(tensors: tuple[Tensor, ...], limit: int) -> Iterable[tuple[Tensor, ...]]:
    """Tensors of one shape, cut alike along their first dimension into views of at most `limit` elements.

    A row that is longer stays whole.
    """
    if tensors[0].numel() <= limit:
        return [tensors]
    rows = max(1, limit // tensors[0][0].numel())
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def together(sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    """Names in order, in groups of at most `limit` elements; a tensor that is larger is alone."""
    group, elements = [], 0
    for name, size in sizes.items():
        if group and elements + size > limit:
            yield group
            group, elements = [], 0
        group.append(name)
        elements += size
    if group:
        yield group


def flat(tensors: list[Tensor]) -> Tensor:
    """All elements in one tensor, a copy."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def store(tensors: list[Tensor], values: Tensor) -> None:
    """Write flat `values` into `tensors`, rounded to nearest where their dtype is shorter."""
    parts = values.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(
        tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    )
