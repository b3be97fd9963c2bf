"""The ways in which the study trains the reference problem, by name."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from rlvr.config.advantage import ReferenceConfig


@dataclass(frozen=True)
class Method:
    """How the reference problem is trained; settings that the tracker does not have are ignored.

    accumulate: a slot drawn repeatedly in an epoch gets the sum of its updates, not the last one alone.
    statistics: of the buffer; "after" the new rewards have entered it, as `PerPromptStatTracker` does, or
    "before" (a variant, see `rlvr.advantage_study.trackers`).
    """

    tracker: Literal["batch", "buffer", "ema"]
    buffer_size: int
    min_count: int
    decay: float
    eps: float
    accumulate: bool = False
    statistics: Literal["after", "before"] = "after"


@dataclass(frozen=True)
class StudyMethod:
    """A method with its name in the files of the study, and the part of the study that it belongs to.

    It is run with the seeds 1 to `seeds`.
    """

    name: str
    part: Literal["comparison", "sweep", "variants"]
    method: Method
    seeds: int


def study_methods(config: ReferenceConfig) -> list[StudyMethod]:
    """All methods of the study; ValueError if two would have the same name."""
    methods = [*_comparison(config), *_sweep(config), *_variants(config)]
    repeated = [name for name, times in Counter(method.name for method in methods).items() if times > 1]
    if repeated:
        raise ValueError(f"more than one method of the study is called {', '.join(repeated)}")
    return methods


def _method(config: ReferenceConfig, tracker: Literal["batch", "buffer", "ema"]) -> Method:
    settings = config.tracker
    return Method(tracker, settings.buffer_size, settings.min_count, settings.decay, settings.eps)


def _comparison(config: ReferenceConfig) -> list[StudyMethod]:
    return [
        StudyMethod("batch", "comparison", _method(config, "batch"), config.seeds),
        StudyMethod("buffer", "comparison", _method(config, "buffer"), config.seeds),
        *(
            StudyMethod(
                f"ema-{decay:g}", "comparison", replace(_method(config, "ema"), decay=decay), config.seeds
            )
            for decay in config.decays
        ),
    ]


def _sweep(config: ReferenceConfig) -> list[StudyMethod]:
    """Every buffer size with every least count that it holds, but for the cell that is `buffer` itself."""
    buffer = _method(config, "buffer")
    cells = [
        replace(buffer, buffer_size=size, min_count=count)
        for size in config.sweep.buffer_sizes
        for count in config.sweep.min_counts
        if count <= size
    ]
    return [
        StudyMethod(f"buffer-{cell.buffer_size}-{cell.min_count}", "sweep", cell, config.sweep.seeds)
        for cell in cells
        if cell != buffer
    ]


def _variants(config: ReferenceConfig) -> list[StudyMethod]:
    plain = {
        "batch": _method(config, "batch"),
        "buffer": _method(config, "buffer"),
        f"ema-{config.tracker.decay:g}": _method(config, "ema"),
    }
    return [
        *(
            StudyMethod(f"{name}-accumulating", "variants", replace(method, accumulate=True), config.seeds)
            for name, method in plain.items()
        ),
        StudyMethod("buffer-before", "variants", replace(plain["buffer"], statistics="before"), config.seeds),
    ]
