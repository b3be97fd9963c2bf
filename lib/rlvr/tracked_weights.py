"""Weights at random places of every tensor, followed to see what rounding loses of their updates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlvr.processes import norm_over_processes
from rlvr.rounding import derived_generator
from rlvr.shards import place


def weighted_norm(tensors: Sequence[Tensor], shares: list[float]) -> float:
    """The 2-norm of all tensors of all processes, their squares weighted by `shares`, in float64."""
    norms = torch.stack(torch._foreach_norm(list(tensors), dtype=torch.float64))
    return norm_over_processes((norms * norms.new_tensor(shares).sqrt()).norm()).item()


def tracked_coordinates(size: int, count: int, seed: int, index: int) -> Tensor | None:
    """Flat indices (int64, increasing, on the CPU): one at random in each of `count` equal runs of elements.

    None for all of them, where there are no more.
    """
    if size <= count:
        return None
    bounds = torch.arange(count + 1) * size // count
    generator = derived_generator(torch.device("cpu"), "tracked coordinates", seed, index)
    offsets = torch.rand(count, generator=generator, dtype=torch.float64) * bounds.diff()
    return bounds[:-1] + offsets.long()


def in_part(parameter: Tensor, coordinates: Tensor | None) -> tuple[Tensor | None, slice]:
    """Those of the coordinates that this process's part of the parameter holds, counted from its start.

    Also which of all coordinates they are.
    """
    own = place(parameter)
    bounds = torch.tensor([own.start, own.start + own.count])
    if coordinates is None:
        return None, slice(*bounds.tolist())
    here = slice(*torch.searchsorted(coordinates, bounds).tolist())
    return (coordinates[here] - own.start).to(parameter.device), here
