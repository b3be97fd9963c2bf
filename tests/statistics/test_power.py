import numpy as np
import pytest
from scipy import stats

from rlvr.statistics.power import (
    equivalence_power,
    minimal_detectable_variance_ratio,
    permutation_detectable_variance_ratio,
)
from rlvr.statistics.variance import variance_ratio_permutation_test


@pytest.mark.parametrize(("n", "ratio"), [(5, 15.9), (10, 5.7), (20, 3.2)])
def test_minimal_detectable_ratio_of_the_f_test(n, ratio):
    found = minimal_detectable_variance_ratio(n)
    assert found == pytest.approx(ratio, abs=0.05)
    critical = stats.f.ppf(0.95, n - 1, n - 1)
    assert stats.f.sf(critical / found, n - 1, n - 1) == pytest.approx(0.8)


@pytest.mark.parametrize(("n", "ratio"), [(5, 41), (10, 7.1), (20, 3.6)])
def test_detectable_ratio_of_the_permutation_test(n, ratio):
    assert permutation_detectable_variance_ratio(n) == pytest.approx(ratio, rel=0.08)


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


def test_equivalence_power_by_simulation():
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=(4000, 5)) for _ in range(2))
    error = np.sqrt((a.var(1, ddof=1) + b.var(1, ddof=1)) / 5)
    difference = b.mean(1) - a.mean(1)
    claimed = (2.0 - np.abs(difference)) / error > stats.t(8).ppf(0.95)
    assert equivalence_power((2 / 5) ** 0.5, 8, margin=2.0) == pytest.approx(claimed.mean(), abs=0.05)
    assert equivalence_power(10.0, 8, margin=2.0) == 0.0
