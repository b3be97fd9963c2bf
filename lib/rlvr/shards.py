"""Tensors that are divided among processes along their first dimension (DTensors), and plain ones alike.

A plain tensor is its own only shard. DTensors are told apart by their mesh, since their module takes a second
to import, which a process alone can do without.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class Place:
    """Which elements of a whole tensor of `total`, flattened, a process holds: `count` from `start` on."""

    start: int
    count: int
    total: int

    def cut(self, whole: Tensor) -> Tensor:
        """What the process holds of a tensor of `total` elements, flat; a view where it can be."""
        return whole.reshape(-1)[self.start : self.start + self.count]


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether other processes hold parts of it."""
    return getattr(tensor, "device_mesh", None) is not None


def local(tensor: Tensor) -> Tensor:
    """The part that this process holds, without gradient: it shares the tensor's memory."""
    detached = tensor.detach()
    return detached.to_local() if is_sharded(detached) else detached


def whole(tensor: Tensor) -> Tensor:
    """All of it, in every process: a collective for a sharded tensor, else the tensor itself."""
    detached = tensor.detach()
    return detached.full_tensor() if is_sharded(detached) else tensor


def place(tensor: Tensor) -> Place:
    """Where this process's part stands in the whole."""
    total = tensor.numel()
    if not is_sharded(tensor):
        return Place(0, total, total)
    # torch.chunk's rule: all parts have the size of the first, as long as there are rows.
    rows, mesh = tensor.shape[0], tensor.device_mesh
    first = min(mesh.get_local_rank() * -(-rows // mesh.size()), rows)
    return Place(first * math.prod(tensor.shape[1:]), local(tensor).numel(), total)


def copy_into(target: Tensor, source: Tensor) -> None:
    """Copy `source` into the part of `target` that this process holds.

    A collective where only the source is divided; where both are, they are divided alike.
    """
    own = local(target)
    if is_sharded(target) and is_sharded(source):
        own.copy_(local(source))
    else:
        own.copy_(place(target).cut(whole(source)).view(own.shape))
