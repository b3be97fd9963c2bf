"""How many GPUs a job needs, and how large batches fit on those that it has."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

from rlvr.models.decoder_config import DecoderConfig
from rlvr.plan.memory import PHASES, TrainingLoad, training_memory
from rlvr.plan.parts import JobMemory
from rlvr.precision import PrecisionMode

# What is left to CUDA's context, libraries and fragmentation.
USABLE_SHARE = 0.9
MOST_GPUS = 1024


def largest_that_fits(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to `most` that fits, 0 for none; all below one that fits must fit too."""
    return bisect_left(range(1, most + 1), True, key=lambda number: not fits(number))


def fewest_gpus(memory: JobMemory, gpu_bytes: float) -> int | None:
    """The fewest GPUs of this size on which the job fits when divided; None if no number is enough."""
    usable = USABLE_SHARE * gpu_bytes
    if memory.peak() <= usable:
        return 1
    # From two on, which gather from one another, more need less of each.
    too_few = largest_that_fits(MOST_GPUS, lambda gpus: gpus == 1 or memory.peak(gpus) > usable)
    return too_few + 1 if too_few < MOST_GPUS else None


def largest_rows(
    sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad, gpus: int, gpu_bytes: float
) -> tuple[int, int]:
    """The largest microbatch and batch of drawn rows, at most those of `load`, that fit; 0 for none."""

    def fits(changed: TrainingLoad, phases: tuple[str, ...]) -> bool:
        memory = training_memory(sizes, mode, changed)
        return max(memory.in_phase(phase, gpus) for phase in phases) <= USABLE_SHARE * gpu_bytes

    return (
        largest_that_fits(load.rows, lambda rows: fits(replace(load, rows=rows), PHASES[1:])),
        largest_that_fits(load.drawn_rows, lambda rows: fits(replace(load, drawn_rows=rows), PHASES[:1])),
    )
