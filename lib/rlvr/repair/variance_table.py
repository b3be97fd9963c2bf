"""Theory against measurement of the variance error, by drop rate."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlvr.repair.checks import variance_error
from rlvr.repair.known import SOLUTIONS
from rlvr.repair.task import DROPOUT_SOURCE, PUBLISHED_SEED, SHAPE, SUBMISSION

ALL_RATES = tuple(tenth / 10 for tenth in range(1, 10))
OFFSET_MEAN = 1.0


@dataclass(frozen=True)
class VarianceRow:
    """Relative error of the variance of one scale at one drop rate, inputs of variance 1 and mean `mean`."""

    scale: Literal["1/keep", "1/sqrt(keep)"]
    mean: float
    rate: float
    theory: float
    measured: float


Scale = Literal["1/keep", "1/sqrt(keep)"]


def theoretical_variance_error(scale: float, keep_prob: float, mean: float = 0.0) -> float:
    """Relative error of the variance for inputs of variance 1.

    A unit x becomes scale·x with probability keep, else 0: its mean is keep·scale·E[x], its second moment
    keep·scale²·E[x²]. So the variance is keep·scale²·(1 + mean²) − keep²·scale²·mean². At mean 0, 1/keep
    gives an error of 1/keep − 1 and 1/√keep one of 0; at another mean, 1/√keep gives (1 − keep)·mean².
    """
    return keep_prob * scale**2 * (1.0 + mean**2) - (keep_prob * scale * mean) ** 2 - 1.0


def variance_rows() -> Iterator[VarianceRow]:
    """The bug and the fix on inputs of mean zero, the fix on inputs of mean one; the task's own classes."""
    fix = next(known for known in SOLUTIONS if known.name == "sqrt").files[SUBMISSION]
    assert fix is not None  # a solution is a file
    measured: tuple[tuple[Scale, float, str], ...] = (
        ("1/keep", 0.0, DROPOUT_SOURCE),
        ("1/sqrt(keep)", 0.0, fix),
        ("1/sqrt(keep)", OFFSET_MEAN, fix),
    )
    for scale, mean, source in measured:
        yield from _measure(scale, mean, source)


def _measure(scale: Scale, mean: float, source: str) -> Iterator[VarianceRow]:
    """Execute one of our own sources, and draw as test_dropout.py does, at more rates."""
    namespace: dict[str, Any] = {"__name__": "dropout"}
    exec(compile(source, SUBMISSION, "exec"), namespace)
    before = np.random.get_state()
    try:
        np.random.seed(PUBLISHED_SEED)  # the layer draws from the global generator
        for rate in ALL_RATES:
            inputs = np.random.randn(*SHAPE) + mean
            measured = variance_error(inputs, namespace["Dropout"](rate).train()(inputs))
            keep = 1.0 - rate
            factor = 1.0 / keep if scale == "1/keep" else keep**-0.5
            theory = round(theoretical_variance_error(factor, keep, mean), 12)  # zero without rounding noise
            yield VarianceRow(scale, mean, rate, theory, measured)
    finally:
        np.random.set_state(before)
