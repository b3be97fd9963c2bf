"""What the tests can see: power, detectable variance ratios and the power of the equivalence test."""

import math
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import numpy as np

# Not scipy.stats and scipy.optimize: they take longer to import than all of a plan to compute.
from scipy import special

from rlvr.statistics.critical_table import critical_ratios
from rlvr.statistics.samples import Array

VarianceTest = Literal["permutation", "f", "brown_forsythe"]
# Ratios beyond this are not looked for.
LARGEST_RATIO = 1e6
# Quadrature over the estimated standard error, and the probability left out on either side.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)
TAIL = 1e-13
# Quadrature over the arms' shares of the estimated variance.
SHARE_NODES, SHARE_WEIGHTS = np.polynomial.legendre.leggauss(24)


def _check(n: int, alpha: float, power: float) -> None:
    if n < 2:
        raise ValueError(f"n is {n}; a variance needs at least 2 values per arm")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha is {alpha} and power {power}; allowed: between 0 and 1")


def minimal_detectable_variance_ratio(n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true variance ratio that a one-sided F test of n against n values finds with this power.

    F(1 − α) / F(1 − power), both with (n − 1, n − 1) degrees of freedom; normal theory. The permutation test
    needs more: `permutation_detectable_variance_ratio`. ValueError with n below 2.
    """
    _check(n, alpha, power)
    upper, lower = special.fdtri(n - 1, n - 1, [1 - alpha, 1 - power])
    return float(upper / lower)


@cache
def variance_test_power(
    n: int, ratio: float, alpha: float = 0.05, test: VarianceTest = "permutation"
) -> float:
    """Power of a one-sided test that the treatment is more variable, at a true variance ratio, normal data.

    n values per arm. The F test's is exact; the others' come from `rlvr.statistics.critical_table`, with
    a standard error of at most 0.01 (`permutation`) and 0.003 (`brown_forsythe`). ValueError with n below 2
    (3 for Brown–Forsythe), alpha outside (0, 0.5), a ratio that is not above 0 or an unknown test.
    """
    least = 3 if test == "brown_forsythe" else 2
    if n < least:
        raise ValueError(f"n is {n}; this test needs at least {least} values per arm")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; allowed: between 0 and 0.5")
    if not ratio > 0:
        raise ValueError(f"the variance ratio is {ratio}; it must be above 0")
    if test not in get_args(VarianceTest):
        raise ValueError(f"unknown test {test!r}; allowed: {', '.join(get_args(VarianceTest))}")
    critical = special.fdtri(n - 1, n - 1, 1 - alpha) if test == "f" else critical_ratios(test, n, alpha)
    return float(np.mean(special.fdtrc(n - 1, n - 1, critical / ratio)))


@cache
def permutation_detectable_variance_ratio(n: int, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """As `minimal_detectable_variance_ratio`, for the centred permutation test, by simulation of normal data.

    Good to about 2 %. None where no ratio up to a million is found with this power, as when the smallest
    possible p exceeds alpha. ValueError with n below 2 or a power that is not above alpha.
    """
    _check(n, alpha, power)
    if power <= alpha:
        raise ValueError(f"the power, {power}, must be above alpha, {alpha}")

    def lacking(log_ratio: float) -> float:
        return variance_test_power(n, math.exp(log_ratio), alpha) - power

    largest = math.log(LARGEST_RATIO)
    if lacking(largest) < 0:
        return None
    return math.exp(root(lacking, 0.0, largest))


def equivalence_power(standard_error: float, degrees: float, margin: float, alpha: float = 0.05) -> float:
    """Power of the two one-sided t tests if the true difference is zero and the values are normal.

    `standard_error` is the true one of the difference; the test estimates it with `degrees` of freedom. The
    tests reject where |difference| ≤ margin − t_{1−α}·ŝe, so the power is the mean of P(|Z| ≤ (margin −
    t_{1−α}·ŝe)/se) over ŝe = se·√(χ²/degrees), with Z normal (Phillips 1990, J. Pharmacokinet. Biopharm.
    18:137). Exact for the pooled t test; for Welch's see `arms_equivalence_power`.
    """
    if standard_error == 0:
        return 1.0
    reach = margin / standard_error
    if math.isinf(degrees):
        return max(0.0, 2 * float(special.ndtr(reach - special.ndtri(1 - alpha))) - 1)
    return float(_claimed(reach, degrees, np.array([degrees]), alpha)[0])


def equivalence_detectable_margin(
    standard_error: float, degrees: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest margin at which `equivalence_power` is `power`, in the unit of the standard error."""
    if standard_error == 0:
        return 0.0

    def lacking(reach: float) -> float:
        return equivalence_power(1.0, degrees, reach, alpha) - power

    return standard_error * root(lacking, *_bracket(lacking))


def greater_power(standard_error: float, degrees: float, difference: float, alpha: float = 0.05) -> float:
    """Power of a one-sided t test at a true difference of means: the noncentral t law, normal data."""
    critical = special.stdtrit(degrees, 1 - alpha)
    return 1.0 - float(special.nctdtr(degrees, difference / standard_error, critical))


def greater_detectable_difference(
    standard_error: float, degrees: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference of means at which `greater_power` is `power`."""

    def lacking(reach: float) -> float:
        return greater_power(1.0, degrees, reach, alpha) - power

    return standard_error * root(lacking, *_bracket(lacking))


def _bracket(lacking: Callable[[float], float]) -> tuple[float, float]:
    """Where an increasing function changes its sign, by doubling from 1."""
    high = 1.0
    while lacking(high) < 0:
        high *= 2
    return 1e-9, high


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between `low` and `high`, by halving to the last bit.

    ValueError if it has the same sign at both ends.
    """
    above = function(high) > 0
    if (function(low) > 0) == above:
        raise ValueError(f"the function does not change its sign between {low} and {high}")
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if (function(middle) > 0) == above else (middle, high)
    return middle


def arms_equivalence_power(n: int, sd: float, margin: float, alpha: float = 0.05) -> float:
    """Power of `equivalence_test` between two arms of n normal values with the same mean and the same `sd`.

    Welch's degrees of freedom are (n − 1)/(B² + (1 − B)²), where B, an arm's share of the estimated variance,
    is Beta((n − 1)/2, (n − 1)/2) and independent of the estimated standard error: the power is the mean over
    B. ValueError with n below 2.
    """
    if n < 2:
        raise ValueError(f"n is {n}; a variance needs at least 2 values per arm")
    if sd == 0:
        return 1.0
    shares = special.betaincinv((n - 1) / 2, (n - 1) / 2, (SHARE_NODES + 1) / 2)
    welch = (n - 1) / (shares**2 + (1 - shares) ** 2)
    reach = margin / (sd * math.sqrt(2 / n))
    powers = _claimed(reach, 2 * n - 2, welch, alpha)
    return float(np.average(powers, weights=SHARE_WEIGHTS))


def _claimed(reach: float, degrees: float, of_tests: Array, alpha: float) -> Array:
    """P(|Z| ≤ reach − t·√(χ²/degrees)) for tests of these degrees of freedom, t being their 1 − α quantile.

    By Gauss–Legendre quadrature over χ.
    """
    quantiles = np.asarray(special.stdtrit(of_tests, 1 - alpha), dtype=np.float64)
    # Between the far tails of χ, and no further than where nothing is claimed.
    start, last = np.sqrt(2 * special.gammaincinv(degrees / 2, [TAIL, 1 - TAIL]))
    ends = np.clip(reach / quantiles * math.sqrt(degrees), start, last)[:, None]
    chi = start + (ends - start) * (NODES + 1) / 2
    log_density = (degrees - 1) * np.log(chi) - chi**2 / 2 - special.gammaln(degrees / 2)
    density = np.exp(log_density - (degrees / 2 - 1) * math.log(2))
    inside = 2 * special.ndtr(reach - quantiles[:, None] * chi / math.sqrt(degrees)) - 1
    claimed = (WEIGHTS * density * inside).sum(axis=1) * (ends - start)[:, 0] / 2
    return np.clip(claimed, 0.0, 1.0)
