"""Lists of tensors that are updated together: cut to size, flattened, written back."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def pieces(tensors: tuple[Tensor, ...], limit: int) -> Iterable[tuple[Tensor, ...]]:
    """Tensors of one shape, cut alike along their first dimension into views of at most `limit` elements.

    A row that is longer stays whole.
    """
    if tensors[0].numel() <= limit:
        return [tensors]
    rows = max(1, limit // tensors[0][0].numel())
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def together(items: Iterable[Item], size: Callable[[Item], int], limit: int) -> Iterator[list[Item]]:
    """The items in order, in groups whose sizes add up to at most `limit`; a larger one is alone."""
    group: list[Item] = []
    total = 0
    for item in items:
        if group and total + size(item) > limit:
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
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
