"""Faults of memory: that of the host, and that of a GPU."""

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

import psutil
import torch
from fault_bed import STEPS, Bed, Trial
from fault_kinds import stopped_in

from rlvr.training import grpo

CHUNK = 2**18


def end_memory(bed: Bed, chance: random.Random) -> Trial:
    step, room = chance.randint(1, STEPS), chance.randrange(2**25)
    order = bed.new_order(inside=partial(no_memory, step, room))
    said = stopped_in(bed, order, step, "can't allocate memory|MemoryError")
    return Trial(f"step {step}, {room} bytes left", "clear error, then same hashes", said)


@contextmanager
def no_memory(step: int, room: int) -> Iterator[None]:
    """While active, a step takes ever more memory, and there is a limit."""

    def taking(setting: grpo.Setting, number: int) -> object:
        if number + 1 == step:
            used = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
            taken = []
            while True:
                taken.append(torch.ones(CHUNK))
        return train_step(setting, number)

    train_step = grpo.train_step
    with mock.patch.object(grpo, "train_step", taking):
        yield


def end_gpu_memory(bed: Bed, chance: random.Random) -> Trial:
    step = chance.randint(1, STEPS)
    order = bed.new_order(inside=partial(no_gpu_memory, step))
    said = stopped_in(bed, order, step, f"error: step {step} does not fit .* trainer.microbatch_tokens")
    return Trial(f"step {step}", "clear error, then same hashes", said)


@contextmanager
def no_gpu_memory(step: int) -> Iterator[None]:
    """While active, a step fails as one that does not fit into the memory of a GPU."""
    train_step = grpo.train_step

    def failing(setting: grpo.Setting, number: int):
        found = train_step(setting, number)
        if number + 1 == step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return found

    with mock.patch.object(grpo, "train_step", failing):
        yield
