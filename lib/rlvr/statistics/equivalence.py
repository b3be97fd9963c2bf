"""Means over seeds: t intervals, Welch's t and the equivalence test."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from rlvr.statistics.samples import as_sample, rounding_variance
from rlvr.statistics.variance import TestResult


@dataclass(frozen=True)
class MeanInterval:
    """A mean over n values, their standard deviation and a two-sided interval of the mean."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class EquivalenceResult:
    """Result of `equivalence_test`: `pvalue` and `statistic` are of the one-sided test that is harder to
    pass.

    `difference` is mean(b) − mean(a), `low` and `high` its two-sided Welch interval, and `standard_error` and
    `degrees` (of freedom) are what both rest on.
    """

    statistic: float
    pvalue: float
    difference: float
    low: float
    high: float
    margin: float
    standard_error: float
    degrees: float


def mean_interval(values: ArrayLike, confidence: float = 0.95, common_error: float = 0.0) -> MeanInterval:
    """Student's t interval of a mean; `common_error` is a standard error that all values share.

    A shared error is added in quadrature, with degrees of freedom after Welch and Satterthwaite, its own
    taken as infinite. ValueError with fewer than two values.
    """
    sample = as_sample(values, "the sample")
    n, mean, sd = len(sample), float(sample.mean()), float(sample.std(ddof=1))
    own = sd**2 / n
    total = own + common_error**2
    degrees = (n - 1) * (total / own) ** 2 if own > 0 else math.inf
    half = float(stats.t(degrees).ppf((1 + confidence) / 2)) * math.sqrt(total)
    return MeanInterval(n, mean, sd, mean - half, mean + half)


def _welch(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Standard error of mean(b) − mean(a) and its Welch–Satterthwaite degrees of freedom."""
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (a, b)]
    if sum(parts) <= float(rounding_variance(a, b)):
        return 0.0, math.inf
    return math.sqrt(sum(parts)), sum(parts) ** 2 / (
        parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1)
    )


def equivalence_test(
    a: ArrayLike, b: ArrayLike, margin: float, confidence: float = 0.95
) -> EquivalenceResult:
    """Two one-sided Welch t tests (TOST, Schuirmann 1987) that |mean(b) − mean(a)| < margin.

    The p value is the larger of the two; equivalence is claimed at level α when it is at most α. Where
    neither arm has any spread the difference is taken as exact: p is 0 inside the margin and 1 otherwise.
    ValueError with fewer than two values in an arm or a margin that is not positive.
    """
    a, b = as_sample(a, "the first arm"), as_sample(b, "the second arm")
    if not margin > 0:
        raise ValueError(f"the equivalence margin is {margin}; it must be above 0")
    difference = float(b.mean() - a.mean())
    error, degrees = _welch(a, b)
    if error == 0.0:
        inside = abs(difference) < margin
        statistic = math.inf if inside else -math.inf
        return EquivalenceResult(
            statistic, 0.0 if inside else 1.0, difference, difference, difference, margin, error, degrees
        )
    law = stats.t(degrees)
    # Distance from the nearer margin in standard errors; negative outside the margins.
    statistic = (margin - abs(difference)) / error
    half = float(law.ppf((1 + confidence) / 2)) * error
    return EquivalenceResult(
        statistic,
        float(law.sf(statistic)),
        difference,
        difference - half,
        difference + half,
        margin,
        error,
        degrees,
    )


def welch_greater(reference: ArrayLike, treatment: ArrayLike) -> TestResult:
    """One-sided Welch t test that mean(treatment) > mean(reference); no spread at all decides exactly."""
    reference = as_sample(reference, "the reference arm")
    treatment = as_sample(treatment, "the treatment arm")
    difference = float(treatment.mean() - reference.mean())
    error, degrees = _welch(reference, treatment)
    if error == 0.0:
        return TestResult(math.inf if difference > 0 else -math.inf, 0.0 if difference > 0 else 1.0)
    statistic = difference / error
    return TestResult(statistic, float(stats.t(degrees).sf(statistic)))
