import math

import numpy as np
import pytest
from scipy import stats

from rlvr.statistics.equivalence import welch_greater
from rlvr.statistics.power import (
    arms_equivalence_power,
    equivalence_detectable_margin,
    equivalence_power,
    greater_detectable_difference,
    greater_power,
    minimal_detectable_variance_ratio,
    permutation_detectable_variance_ratio,
    root,
    variance_test_power,
)
from rlvr.statistics.variance import brown_forsythe_one_sided, variance_ratio_permutation_test


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-2.0, 0.0)])
def test_a_root_is_found_to_the_last_bit(low, high):
    found = root(lambda x: x**2 - 2, low, high)
    assert abs(found) == pytest.approx(math.sqrt(2), rel=3e-16)
    with pytest.raises(ValueError, match="does not change its sign"):
        root(lambda x: x**2 + 2, low, high)


@pytest.mark.parametrize(("n", "ratio"), [(5, 15.9), (10, 5.7), (20, 3.2)])
def test_minimal_detectable_ratio_of_the_f_test(n, ratio):
    found = minimal_detectable_variance_ratio(n)
    assert found == pytest.approx(ratio, abs=0.05)
    critical = stats.f.ppf(0.95, n - 1, n - 1)
    assert stats.f.sf(critical / found, n - 1, n - 1) == pytest.approx(0.8)


@pytest.mark.parametrize(("n", "ratio"), [(5, 39.3), (10, 7.17), (20, 3.46)])
def test_detectable_ratio_of_the_permutation_test(n, ratio):
    # The ratios of bench/known_figures.py, which has more simulations.
    assert permutation_detectable_variance_ratio(n) == pytest.approx(ratio, rel=0.03)


def test_detectable_ratio_is_found_by_the_test_itself():
    ratio = permutation_detectable_variance_ratio(5)
    rng = np.random.default_rng(0)
    trials = 400
    found = sum(
        variance_ratio_permutation_test(rng.normal(size=5), ratio**0.5 * rng.normal(size=5)).pvalue <= 0.05
        for _ in range(trials)
    )
    # Four standard errors of a share of 0.8 over 400 trials.
    assert found / trials == pytest.approx(0.8, abs=0.08)


def test_too_few_seeds_detect_nothing():
    assert permutation_detectable_variance_ratio(2) is None  # smallest p: 1/6
    assert permutation_detectable_variance_ratio(4, alpha=0.01) is None  # smallest p: 1/70
    with pytest.raises(ValueError, match="at least 2"):
        minimal_detectable_variance_ratio(1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        minimal_detectable_variance_ratio(5, power=1.0)


@pytest.mark.parametrize("margin", [1.2, 2.0])
def test_equivalence_power_by_simulation(margin):
    rng = np.random.default_rng(1)
    trials = 40_000
    a, b = (rng.normal(size=(trials, 5)) for _ in range(2))
    error = np.sqrt((a.var(1, ddof=1) + b.var(1, ddof=1)) / 5)
    difference = b.mean(1) - a.mean(1)
    claimed = ((margin - np.abs(difference)) / error > stats.t(8).ppf(0.95)).mean()
    # Four standard errors of a share over the trials.
    tolerance = 4 * math.sqrt(claimed * (1 - claimed) / trials)
    assert equivalence_power((2 / 5) ** 0.5, 8, margin) == pytest.approx(claimed, abs=tolerance)


@pytest.mark.parametrize("n", [2, 5])
def test_power_between_arms_is_the_share_that_welchs_test_claims(n):
    rng = np.random.default_rng(5)
    trials, margin = 40_000, 2.0
    a, b = (rng.normal(size=(trials, n)) for _ in range(2))
    parts = [side.var(1, ddof=1) / n for side in (a, b)]
    degrees = (n - 1) * sum(parts) ** 2 / (parts[0] ** 2 + parts[1] ** 2)
    reach = (margin - np.abs(b.mean(1) - a.mean(1))) / np.sqrt(sum(parts))
    claimed = (reach > stats.t(degrees).ppf(0.95)).mean()
    # Four standard errors of a share over the trials.
    tolerance = 4 * math.sqrt(claimed * (1 - claimed) / trials)
    assert arms_equivalence_power(n, 1.0, margin) == pytest.approx(claimed, abs=tolerance)


def test_equivalence_power_at_its_ends():
    assert equivalence_power(10.0, 8, margin=2.0) < 1e-6
    assert equivalence_power(0.0, 8, margin=2.0) == 1.0
    known = 2 * stats.norm.cdf(3 - stats.norm.ppf(0.95)) - 1
    assert equivalence_power(1.0, math.inf, margin=3.0) == pytest.approx(known)
    assert equivalence_power(1.0, 1e6, margin=3.0) == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize(("ratio", "alpha"), [(8.0, 0.05), (150.0, 0.05 / 6)])
def test_power_of_the_permutation_test_is_the_share_that_it_rejects(ratio, alpha):
    rng = np.random.default_rng(2)
    trials = 1_000
    rejected = sum(
        variance_ratio_permutation_test(rng.normal(size=5), ratio**0.5 * rng.normal(size=5)).pvalue <= alpha
        for _ in range(trials)
    )
    predicted = variance_test_power(5, ratio, alpha)
    # Four standard errors of a share over the trials, and the prediction's own 0.01.
    tolerance = 4 * math.sqrt(predicted * (1 - predicted) / trials) + 0.01
    assert rejected / trials == pytest.approx(predicted, abs=tolerance)


@pytest.mark.parametrize(("n", "ratio"), [(5, 8.0), (10, 4.0)])
def test_power_of_brown_forsythe_is_the_share_that_it_rejects(n, ratio):
    rng = np.random.default_rng(3)
    trials = 500
    rejected = sum(
        brown_forsythe_one_sided(rng.normal(size=n), ratio**0.5 * rng.normal(size=n)).pvalue <= 0.05
        for _ in range(trials)
    )
    predicted = variance_test_power(n, ratio, 0.05, "brown_forsythe")
    tolerance = 4 * math.sqrt(predicted * (1 - predicted) / trials)
    assert rejected / trials == pytest.approx(predicted, abs=tolerance)


def test_level_where_the_variances_are_equal():
    for test in ("f", "permutation", "brown_forsythe"):
        assert variance_test_power(5, 1.0, 0.05, test) <= 0.055
    assert variance_test_power(5, 1.0, 0.05, "f") == pytest.approx(0.05)
    # Exact up to the steps of 1/252: the largest level within 0.05 is 12/252.
    assert variance_test_power(5, 1.0, 0.05) == pytest.approx(12 / 252, abs=0.003)


def test_even_a_ratio_of_150_is_found_in_two_of_three_studies_only():
    assert variance_test_power(5, 150.0, 0.05 / 6) == pytest.approx(0.63, abs=0.01)


def test_wrong_plans_are_named():
    with pytest.raises(ValueError, match="must be above 0"):
        variance_test_power(5, 0.0)
    with pytest.raises(ValueError, match="allowed: permutation, f, brown_forsythe"):
        variance_test_power(5, 2.0, test="levene")
    with pytest.raises(ValueError, match="at least 3"):
        variance_test_power(2, 2.0, test="brown_forsythe")
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        variance_test_power(5, 2.0, alpha=0.6)
    with pytest.raises(ValueError, match="must be above alpha"):
        permutation_detectable_variance_ratio(5, alpha=0.3, power=0.2)


@pytest.mark.parametrize("degrees", [4.0, 6.3, 38.0, math.inf])
def test_the_detectable_margin_is_where_the_power_is_reached(degrees):
    margin = equivalence_detectable_margin(0.7, degrees, 0.05, power=0.8)
    assert equivalence_power(0.7, degrees, margin, 0.05) == pytest.approx(0.8)
    assert equivalence_power(0.7, degrees, 0.99 * margin, 0.05) < 0.8
    assert equivalence_detectable_margin(0.0, degrees) == 0.0


def test_power_for_a_larger_mean_by_simulation():
    rng = np.random.default_rng(4)
    error, trials = math.sqrt(2 / 5), 1500
    predicted = greater_power(error, 8, 1.5, 0.025)
    draws = ((rng.normal(0, 1, 5), rng.normal(1.5, 1, 5)) for _ in range(trials))
    found = np.mean([welch_greater(a, b).pvalue <= 0.025 for a, b in draws])
    # Four standard errors; Welch's degrees of freedom are at most the 8 of equal variances, as they are here.
    assert found == pytest.approx(predicted, abs=4 * math.sqrt(predicted * (1 - predicted) / trials))
    assert predicted == pytest.approx(stats.nct(8, 1.5 / error).sf(stats.t(8).ppf(0.975)))


@pytest.mark.parametrize("degrees", [1.3, 4.0, 38.7])
def test_the_detectable_difference_is_where_the_power_is_reached(degrees):
    difference = greater_detectable_difference(0.3, degrees, 0.025, power=0.8)
    law = stats.nct(degrees, difference / 0.3)
    assert law.sf(stats.t(degrees).ppf(0.975)) == pytest.approx(0.8)
