"""Weights at random places of every tensor, followed to see what rounding loses of their updates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlvr.processes import norm_over_processes, sum_over_processes
from rlvr.rounding import derived_generator
from rlvr.shards import local, place


@dataclass(frozen=True)
class Places:
    """Where the tracked weights of one parameter are.

    `here`: flat indices in this process's part of the parameter, None for all of it; `own`: which of all
    `count` tracked weights of the parameter, in order, these are.
    """

    here: Tensor | None
    own: slice
    count: int


class TrackedWeights:
    """`count` weights of every parameter, chosen by `seed`: all of them, where it has no more.

    Parameters may be divided among processes, see `rlvr.shards`; the choice is that of the whole parameter.
    """

    def __init__(self, count: int, seed: int):
        self.count, self.seed = count, seed
        self.places: dict[Tensor, Places] = {}

    def add(self, parameter: Tensor, index: int) -> None:
        """Choose those of a parameter; `index` tells it from the others."""
        size = parameter.numel()
        every = tracked_coordinates(size, self.count, self.seed, index)
        self.places[parameter] = Places(*_in_part(parameter, every), min(size, self.count))

    def at(self, parameter: Tensor, values: Tensor) -> Tensor:
        """`values` (of the parameter's shape) at its tracked weights, flat; a view where all are tracked.

        Of a divided parameter, those that this process holds.
        """
        here, values = self.places[parameter].here, local(values)
        return values.flatten() if here is None else values.take(here)

    def of_all_processes(self, parameter: Tensor, own: Tensor) -> Tensor:
        """One number a tracked weight of a divided parameter; `own` are those that this process holds."""
        every = own.new_zeros(self.places[parameter].count)
        every[self.places[parameter].own] = own
        return sum_over_processes(every)

    def of_this_process(self, parameter: Tensor, every: Tensor) -> Tensor:
        """A copy, where the parameter is, of what this process holds of `of_all_processes`."""
        return every[self.places[parameter].own].to(device=parameter.device, copy=True)

    def lost(
        self, parameters: Sequence[Tensor], intended: Sequence[Tensor], starts: Sequence[Tensor]
    ) -> float:
        """‖intended − applied‖ / ‖intended‖ of the parameters' tracked weights; NaN if nothing was intended.

        `intended` (fp32) are sums of updates since the tracked weights were `starts`. A collective.
        """
        now = [self.at(parameter, parameter).float() for parameter in parameters]
        applied = torch._foreach_sub(now, list(starts))
        rest = torch._foreach_sub(list(intended), applied)
        # Each tracked weight stands for as many as its tensor has for each that is tracked.
        shares = [parameter.numel() / self.places[parameter].count for parameter in parameters]
        lost, meant = (_weighted_norm(tensors, shares) for tensors in (rest, intended))
        return lost / meant if meant else math.nan


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


def _in_part(parameter: Tensor, coordinates: Tensor | None) -> tuple[Tensor | None, slice]:
    """Those of the coordinates that this process's part of the parameter holds, counted from its start.

    Also which of all coordinates they are.
    """
    own = place(parameter)
    bounds = torch.tensor([own.start, own.start + own.count])
    if coordinates is None:
        return None, slice(*bounds.tolist())
    here = slice(*torch.searchsorted(coordinates, bounds).tolist())
    return (coordinates[here] - own.start).to(parameter.device), here


def _weighted_norm(tensors: Sequence[Tensor], shares: list[float]) -> float:
    """The 2-norm of all tensors of all processes, their squares weighted by `shares`, in float64."""
    norms = torch.stack(torch._foreach_norm(list(tensors), dtype=torch.float64))
    return norm_over_processes((norms * norms.new_tensor(shares).sqrt()).norm()).item()
