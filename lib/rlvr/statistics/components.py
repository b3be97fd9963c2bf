"""Variance components of scores over runs, without modelling the sampling noise, and their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from rlvr.statistics.samples import as_sample


@dataclass(frozen=True)
class VarianceComponents:
    """Variance between runs and what evaluation sampling adds to a score, each with a two-sided interval.

    All in the unit of the scores squared; `total` is `between` + `sampling`, the variance of the scores.
    `between` may come out negative; its limits are cut at zero. Both limits zero say that the halves of a
    run differ more than they should even if the runs do not differ at all. `runs` counts the scores.
    """

    between: float
    between_low: float
    between_high: float
    sampling: float
    sampling_low: float
    sampling_high: float
    total: float
    runs: int
    confidence: float


def split_half_components(halves: ArrayLike, confidence: float = 0.95) -> VarianceComponents:
    """Components from scores of shape (runs, 2): each run's scores on two disjoint halves of its samples.

    The halves of a run share its policy and nothing else, so their covariance over runs estimates the
    variance between runs without bias; sampling is the variance of the halves' mean minus that. An estimate
    below zero says that the component is too small to see with these runs. The intervals take run effects
    and sampling noise as normal: `difference_interval` and `variance_interval`. ValueError with fewer than
    two runs or a confidence outside (0, 1).
    """
    sample = as_sample(halves, "the runs", dimensions=(2,))
    return _components(sample - sample.mean(axis=0), len(sample) - 1, len(sample), confidence)


def within_group_components(groups: Sequence[ArrayLike], confidence: float = 0.95) -> VarianceComponents:
    """As `split_half_components` for repeats: each group (a seed) is centred on its own mean, then pooled."""
    samples = [as_sample(group, "the repeats of a seed", dimensions=(2,)) for group in groups]
    if not samples:
        raise ValueError("no seed was run more than once")
    centred = np.concatenate([sample - sample.mean(axis=0) for sample in samples])
    return _components(centred, len(centred) - len(samples), len(centred), confidence)


def _components(centred: np.ndarray, degrees: int, runs: int, confidence: float) -> VarianceComponents:
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is {confidence}; allowed: between 0 and 1")
    between = float((centred[:, 0] * centred[:, 1]).sum() / degrees)
    total = float((centred.mean(axis=1) ** 2).sum() / degrees)
    # Half the difference of a run's halves has the sampling variance of their mean, and no run effect.
    sampling = float(((centred[:, 0] - centred[:, 1]) ** 2).sum() / (4 * degrees))
    low, high = (max(0.0, limit) for limit in difference_interval(total, sampling, degrees, confidence))
    sampling_low, sampling_high = variance_interval(sampling, degrees, confidence)
    return VarianceComponents(
        between, low, high, sampling, sampling_low, sampling_high, total, runs, confidence
    )


def variance_interval(variance: float, degrees: int, confidence: float = 0.95) -> tuple[float, float]:
    """The chi-square interval of a variance of normal values, estimated with `degrees` of freedom."""
    high, low = special.chdtri(degrees, [(1 - confidence) / 2, (1 + confidence) / 2])
    return degrees * variance / float(high), degrees * variance / float(low)


def difference_interval(
    first: float, second: float, degrees: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of E[first] − E[second], two independent mean squares with `degrees` of freedom each.

    The modified large-sample interval of Ting, Burdick, Graybill, Jeyaratnam & Lu (1990, J. Stat. Comput.
    Simul. 35:135), after Graybill & Wang (1980): the variance of the difference with its coefficients set so
    that the coverage is exact where either expectation is zero or both are equal. Not cut at zero.
    """
    tail = (1 - confidence) / 2
    # g and h are how far, relative to a mean square, its own exact limits lie below and above it.
    own_low, own_high = variance_interval(1.0, degrees, confidence)
    g, h = 1 - own_low, own_high - 1
    lower, upper = (float(limit) for limit in special.fdtri(degrees, degrees, [tail, 1 - tail]))
    mixed_low = ((upper - 1) ** 2 - (g * upper) ** 2 - h**2) / upper
    mixed_high = ((1 - lower) ** 2 - (h * lower) ** 2 - g**2) / lower
    below = (g * first) ** 2 + (h * second) ** 2 + mixed_low * first * second
    above = (h * first) ** 2 + (g * second) ** 2 + mixed_high * first * second
    # The mixed terms may be negative; rounding must not turn a sum of zero into an imaginary distance.
    return first - second - math.sqrt(max(0.0, below)), first - second + math.sqrt(max(0.0, above))
