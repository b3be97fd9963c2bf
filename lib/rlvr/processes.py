"""The processes that share one training job, one on each GPU; a process alone is the first of one.

They are those of torch.distributed's default group. Everything here but `process_rank` and `process_count` is
a collective: every process must call it, in the same order.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed

Item = TypeVar("Item")


def process_count() -> int:
    """How many processes share the job."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_rank() -> int:
    """Which of them this one is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first_process() -> bool:
    """Whether this process writes what the job leaves behind."""
    return process_rank() == 0


def of_all_processes(value: Item) -> list[Item]:
    """Every process's value (anything that can be pickled), by rank."""
    if process_count() == 1:
        return [value]
    values: list[Item] = [value] * process_count()  # each is replaced
    distributed.all_gather_object(values, value)
    return values


def of_first_process(value: Item) -> Item:
    """The first process's value, whatever the others pass."""
    if process_count() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of every process's tensor (same shape and dtype); the tensor itself in a process alone."""
    if process_count() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total


def norm_over_processes(norm: Tensor) -> Tensor:
    """The 2-norm of what all processes have the 2-norms of; the tensor itself in a process alone."""
    return norm if process_count() == 1 else sum_over_processes(norm.square()).sqrt()


def share_out(parts: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
    """The parts that fall to this process, each with True: every so many-th of them, in order.

    Where they do not come out even, who would have one less gets the first part once more, with False: its
    results must not count, but it is to be computed, so that all processes go through as many passes.
    """
    count, rank = process_count(), process_rank()
    for start in range(0, len(parts), count):
        own = start + rank < len(parts)
        yield (parts[start + rank] if own else parts[0]), own


def join_processes(device: torch.device, timeout_hours: float) -> None:
    """Join the processes that torchrun has started, by the environment that it sets.

    Tensors on a GPU go over NCCL, and everything else over gloo. A process that waits for the others longer
    than `timeout_hours` ends with an error; one that has died ends them all at once.
    """
    from datetime import timedelta

    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(hours=timeout_hours))
