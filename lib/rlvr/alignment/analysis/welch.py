"""Two samples of seeds compared: difference, interval, p values, and the verdict in words."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rlvr.statistics.equivalence import equivalence_test, mean_interval

HIGHER, LOWER, EQUIVALENT, NO_DIFFERENCE = "higher", "lower", "equivalent", "no difference seen"


@dataclass(frozen=True)
class Difference:
    """Treatment minus reference with its interval, the two-sided p, and the p of equivalence.

    `equivalence_p` is that of TOST within the margin; 1 where no margin is set.
    """

    difference: float
    low: float
    high: float
    p: float
    equivalence_p: float


def _two_sided(difference: float, error: float, degrees: float) -> float:
    """The p value of a t test; without any spread the difference is exact."""
    if error == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    return float(2 * stats.t(degrees).sf(abs(difference) / error))


def welch_difference(
    reference: np.ndarray, treatment: np.ndarray, confidence: float, margin: float | None
) -> Difference:
    """Welch's comparison of two samples; ValueError with fewer than two values in either."""
    # Without a margin the test of equivalence is not used, only the difference beside it.
    found = equivalence_test(reference, treatment, margin or 1.0, confidence)
    p = _two_sided(found.difference, found.standard_error, found.degrees)
    return Difference(found.difference, found.low, found.high, p, 1.0 if margin is None else found.pvalue)


def paired_difference(first: np.ndarray, last: np.ndarray, confidence: float) -> Difference:
    """The mean change of the same seeds from `first` to `last`; ValueError with fewer than two."""
    found = mean_interval(last - first, confidence)
    p = _two_sided(found.mean, found.sd / math.sqrt(found.n), found.n - 1)
    return Difference(found.mean, found.low, found.high, p, 1.0)


def verdict_words(found: Difference, adjusted_p: float, confidence: float) -> str:
    """Higher or lower needs the interval and the adjusted p; equivalent an interval that includes zero."""
    alpha = 1 - confidence
    includes_zero = found.low <= 0 <= found.high
    if not includes_zero and adjusted_p <= alpha:
        return HIGHER if found.difference > 0 else LOWER
    return EQUIVALENT if includes_zero and found.equivalence_p <= alpha else NO_DIFFERENCE
