import math

import numpy as np
import pytest
from scipy import stats

from rlvr.statistics.variance import (
    brown_forsythe_one_sided,
    pooled_variance_ratio_interval,
    variance_ratio_interval,
    variance_ratio_permutation_test,
)


def log_ratio(reference, treatment):
    return math.log(np.var(treatment, ddof=1) / np.var(reference, ddof=1))


@pytest.mark.parametrize("sizes", [(5, 5), (4, 6), (3, 2)])
def test_permutation_test_equals_scipys_on_centred_values(sizes):
    rng = np.random.default_rng(1)
    reference, treatment = rng.normal(3, 1, sizes[0]), rng.normal(-5, 2, sizes[1])
    centred = (reference - reference.mean(), treatment - treatment.mean())
    found = variance_ratio_permutation_test(reference, treatment)
    expected = stats.permutation_test(centred, log_ratio, alternative="greater", n_resamples=np.inf)
    assert found.statistic == pytest.approx(log_ratio(reference, treatment))
    assert found.ratio == pytest.approx(math.exp(found.statistic))
    assert found.pvalue == pytest.approx(expected.pvalue)
    assert (found.exact, found.splits) == (True, math.comb(sum(sizes), sizes[0]))


def test_five_against_five_are_252_splits_and_the_largest_ratio_has_the_smallest_p():
    found = variance_ratio_permutation_test([1.0, 1.1, 0.9, 1.05, 0.95], [10, -20, 30, -40, 55])
    assert found.splits == 252
    assert found.pvalue == pytest.approx(1 / 252)


def test_random_splits_come_near_all_splits_and_are_seeded():
    rng = np.random.default_rng(2)
    reference, treatment = rng.normal(size=7), rng.normal(size=7) * 1.6
    exact = variance_ratio_permutation_test(reference, treatment)
    drawn = variance_ratio_permutation_test(reference, treatment, max_splits=100, monte_carlo=4_999)
    assert exact.exact and not drawn.exact and drawn.splits == 4_999
    # Four standard errors of a share estimated from 4,999 draws.
    tolerance = 4 * math.sqrt(exact.pvalue * (1 - exact.pvalue) / 4_999)
    assert drawn.pvalue == pytest.approx(exact.pvalue, abs=tolerance)
    again = variance_ratio_permutation_test(reference, treatment, max_splits=100, monte_carlo=4_999)
    assert drawn == again


def test_random_splits_never_give_p_zero():
    reference, treatment = np.linspace(0, 1e-6, 12), np.linspace(0, 1e6, 12)
    found = variance_ratio_permutation_test(reference, treatment, max_splits=10, monte_carlo=99)
    assert found.pvalue == pytest.approx(1 / 100)


def test_a_shift_between_the_arms_changes_nothing():
    rng = np.random.default_rng(3)
    reference, treatment = rng.normal(size=5), rng.normal(size=5)
    here = variance_ratio_permutation_test(reference, treatment)
    far = variance_ratio_permutation_test(reference + 1000, treatment - 1000)
    assert far.pvalue == here.pvalue


@pytest.mark.parametrize("tasks", [1, 3])
def test_level_with_a_shift_of_three_sd(tasks):
    rng = np.random.default_rng(4)
    trials = 500
    rejected = 0
    for _ in range(trials):
        shared = rng.normal(size=(10, 1))  # tasks correlate within a run
        values = shared + rng.normal(size=(10, tasks))
        rejected += variance_ratio_permutation_test(values[:5], values[5:] + 3).pvalue <= 0.05
    # Nominal 0.05; its standard error over 500 trials is 0.01.
    assert 0.02 <= rejected / trials <= 0.085


def test_the_same_task_twice_counts_once():
    rng = np.random.default_rng(5)
    reference, treatment = rng.normal(size=5), rng.normal(size=5) * 2
    one = variance_ratio_permutation_test(reference, treatment)
    two = variance_ratio_permutation_test(np.c_[reference, reference], np.c_[treatment, treatment])
    assert two.pvalue == one.pvalue
    assert two.statistic == pytest.approx(one.statistic)


def test_arms_without_spread():
    nothing = variance_ratio_permutation_test([0.1] * 3, [0.3] * 3)
    assert (nothing.statistic, nothing.pvalue, nothing.ratio) == (0.0, 1.0, 1.0)
    only_treatment = variance_ratio_permutation_test([0.1] * 3, [0.1, 0.2, 0.3])
    assert only_treatment.statistic == math.inf
    # Centred, four of the six values are 0; the reference is without spread where it holds three of them.
    assert only_treatment.pvalue == pytest.approx(4 / 20)
    only_reference = variance_ratio_permutation_test([0.1, 0.2, 0.3], [0.1] * 3)
    assert (only_reference.statistic, only_reference.pvalue) == (-math.inf, 1.0)
    mixed = variance_ratio_permutation_test([[1, 1], [1, 2], [1, 3]], [[1, 5], [2, 5], [3, 5]])
    assert mixed.statistic == pytest.approx(0.0)


@pytest.mark.parametrize("test", [variance_ratio_permutation_test, variance_ratio_interval])
def test_one_seed_is_answered_plainly(test):
    with pytest.raises(ValueError, match=r"the treatment arm has 1 value\(s\); this needs at least 2"):
        test([1.0, 2.0], [1.0])


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a finite number"):
        variance_ratio_permutation_test([1.0, math.nan], [1.0, 2.0])


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_brown_forsythe_is_the_signed_root_of_levenes(factor):
    rng = np.random.default_rng(6)
    reference, treatment = rng.normal(size=6), rng.normal(size=7) * factor
    found = brown_forsythe_one_sided(reference, treatment)
    levene = stats.levene(reference, treatment, center="median")
    assert found.statistic**2 == pytest.approx(levene.statistic)
    assert found.pvalue == pytest.approx(levene.pvalue / 2 if factor > 1 else 1 - levene.pvalue / 2)


def test_brown_forsythe_where_it_has_no_answer():
    with pytest.raises(ValueError, match="at least 3"):
        brown_forsythe_one_sided([1.0, 2.0], [1.0, 5.0])
    assert brown_forsythe_one_sided([1.0] * 3, [2.0] * 3).pvalue == 1.0
    with pytest.raises(ValueError, match="do not vary"):
        brown_forsythe_one_sided([0.0] * 4, [-1.0, 1.0, -1.0, 1.0])


def test_f_interval_ends_where_the_f_test_just_rejects():
    rng = np.random.default_rng(7)
    reference, treatment = rng.normal(size=5), rng.normal(size=8)
    found = variance_ratio_interval(reference, treatment, 0.9)
    assert found.ratio == pytest.approx(np.var(treatment, ddof=1) / np.var(reference, ddof=1))
    law = stats.f(7, 4)
    assert law.sf(found.ratio / found.low) == pytest.approx(0.05)
    assert law.cdf(found.ratio / found.high) == pytest.approx(0.05)


def test_interval_without_spread_is_refused():
    with pytest.raises(ValueError, match="no spread"):
        variance_ratio_interval([1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="spread"):
        pooled_variance_ratio_interval(np.ones((3, 2)), np.ones((3, 2)))
    # One task without spread in both arms is no more left out than one without spread in one of them.
    varying = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 1.0], [7.0, 1.0]])
    with pytest.raises(ValueError, match="no spread over seeds on a task"):
        pooled_variance_ratio_interval(varying, varying)


def test_pooled_interval_against_a_plain_loop():
    rng = np.random.default_rng(8)
    arms = [rng.normal(size=(5, 3)), 2 * rng.normal(size=(6, 3))]
    found = pooled_variance_ratio_interval(*arms)
    pseudo = []
    for arm in arms:
        whole = np.mean([math.log(np.var(arm[:, t], ddof=1)) for t in range(3)])
        parts = []
        for i in range(len(arm)):
            rest = np.array([row for j, row in enumerate(arm) if j != i])
            less = np.mean([math.log(np.var(rest[:, t], ddof=1)) for t in range(3)])
            parts.append(len(arm) * whole - (len(arm) - 1) * less)
        pseudo.append(parts)
    a, b = np.array(pseudo[0]), np.array(pseudo[1])
    errors = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    degrees = sum(errors) ** 2 / (errors[0] ** 2 / (len(a) - 1) + errors[1] ** 2 / (len(b) - 1))
    half = stats.t(degrees).ppf(0.975) * math.sqrt(sum(errors))
    middle = b.mean() - a.mean()
    assert (found.low, found.high) == pytest.approx((math.exp(middle - half), math.exp(middle + half)))
    ratios = np.var(arms[1], axis=0, ddof=1) / np.var(arms[0], axis=0, ddof=1)
    assert found.ratio == pytest.approx(stats.gmean(ratios))


def test_pooled_interval_covers_the_truth():
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(300):
        reference, treatment = (rng.normal(size=(8, 1)) + rng.normal(size=(8, 4)) for _ in range(2))
        found = pooled_variance_ratio_interval(reference, treatment)
        covered += found.low <= 1 <= found.high
    # Nominal 0.95, standard error 0.013.
    assert covered / 300 > 0.91
