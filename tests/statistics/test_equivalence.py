import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

from rlvr.statistics.equivalence import equivalence_test, mean_interval, welch_greater


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.0, 1.1, 5.0])
def test_equivalence_test_equals_statsmodels(shift):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=5), rng.normal(shift, 2, size=7)
    found = equivalence_test(a, b, margin=1.5, confidence=0.9)
    pvalue, lower, upper = ttost_ind(b, a, -1.5, 1.5, usevar="unequal")
    assert found.pvalue == pytest.approx(pvalue)
    assert found.statistic == pytest.approx(min(lower[0], -upper[0]))
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.difference == pytest.approx(b.mean() - a.mean())


def test_level_at_the_margin():
    rng = np.random.default_rng(2)
    trials = 1500
    claimed = sum(
        equivalence_test(rng.normal(size=5), rng.normal(3.0, 1.0, size=5), margin=3.0).pvalue <= 0.05
        for _ in range(trials)
    )
    # Nominal 0.05, standard error 0.0056.
    assert 0.03 <= claimed / trials <= 0.07


def test_arms_without_spread_decide_exactly():
    assert equivalence_test([1.0, 1.0], [1.5, 1.5], margin=1.0).pvalue == 0.0
    outside = equivalence_test([1.0, 1.0], [3.0, 3.0], margin=1.0)
    assert (outside.pvalue, outside.low, outside.high) == (1.0, 2.0, 2.0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"the second arm has 1 value"):
        equivalence_test([1.0, 2.0], [1.0], margin=1.0)
    with pytest.raises(ValueError, match="margin is 0"):
        equivalence_test([1.0, 2.0], [1.0, 3.0], margin=0)


def test_mean_interval_is_students():
    values = [13.2, 15.1, 14.4, 16.0, 13.9]
    found = mean_interval(values, 0.95)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.n, found.mean, found.sd) == (5, pytest.approx(14.52), pytest.approx(np.std(values, ddof=1)))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_shared_error_widens_the_interval():
    values = [13.2, 15.1, 14.4, 16.0, 13.9]
    plain, wide = mean_interval(values), mean_interval(values, common_error=0.5)
    total = stats.sem(values) ** 2 + 0.25
    degrees = total**2 / (stats.sem(values) ** 4 / 4)
    assert wide.high - wide.mean == pytest.approx(stats.t(degrees).ppf(0.975) * math.sqrt(total))
    assert wide.high > plain.high
    # With no spread of its own, the shared error is all there is, and it is normal.
    alone = mean_interval([2.0, 2.0], common_error=1.0)
    assert alone.high - 2.0 == pytest.approx(stats.norm.ppf(0.975))


def test_welch_greater_is_scipys():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=5), rng.normal(0.5, 3, size=6)
    expected = stats.ttest_ind(b, a, equal_var=False, alternative="greater")
    found = welch_greater(a, b)
    assert (found.statistic, found.pvalue) == pytest.approx((expected.statistic, expected.pvalue))
    assert welch_greater([1.0, 1.0], [2.0, 2.0]).pvalue == 0.0
    assert welch_greater([1.0, 1.0], [1.0, 1.0]).pvalue == 1.0
