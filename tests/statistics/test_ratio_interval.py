import math

import numpy as np
import pytest

from rlvr.statistics.ratio_interval import permutation_variance_ratio_interval
from rlvr.statistics.variance import variance_ratio_interval, variance_ratio_permutation_test


@pytest.mark.parametrize("sizes", [(5, 5), (4, 6), (7, 5)])
def test_limits_are_where_the_permutation_test_begins_to_reject(sizes):
    rng = np.random.default_rng(1)
    reference, treatment = rng.normal(size=sizes[0]), 2 * rng.normal(size=sizes[1])
    found = permutation_variance_ratio_interval(reference, treatment, 0.9)
    centred = treatment - treatment.mean()

    def pvalue(ratio, reverse=False):
        arms = (reference, centred / math.sqrt(ratio))
        return variance_ratio_permutation_test(*(reversed(arms) if reverse else arms)).pvalue

    assert pvalue(found.low / 1.005) <= 0.05 < pvalue(found.low * 1.005)
    assert pvalue(found.high * 1.005, True) <= 0.05 < pvalue(found.high / 1.005, True)
    assert found.ratio == pytest.approx(variance_ratio_interval(reference, treatment).ratio)


@pytest.mark.parametrize("law", ["normal", "heavy"])
def test_coverage_with_heavy_tails_too(law):
    rng = np.random.default_rng(2)
    trials, inside, f_inside = 400, 0, 0
    for _ in range(trials):
        arms = rng.standard_t(3, (2, 6)) if law == "heavy" else rng.standard_normal((2, 6))
        found, f = permutation_variance_ratio_interval(*arms), variance_ratio_interval(*arms)
        inside += found.low <= 1 <= found.high
        f_inside += f.low <= 1 <= f.high
    # Nominal 0.95; four standard errors over the trials are 0.044. Only F's fails with heavy tails.
    assert inside / trials >= 0.95 - 0.044
    assert (f_inside / trials >= 0.95 - 0.044) == (law == "normal")


def test_scale_and_shift_carry_over():
    rng = np.random.default_rng(3)
    reference, treatment = rng.normal(size=5), rng.normal(size=5)
    here = permutation_variance_ratio_interval(reference, treatment)
    there = permutation_variance_ratio_interval(reference + 7, 10 * treatment - 3)
    assert (there.low, there.high) == pytest.approx((100 * here.low, 100 * here.high))


def test_many_values_are_split_at_random_and_seeded():
    rng = np.random.default_rng(4)
    reference, treatment = rng.normal(size=12), rng.normal(size=12)
    found = permutation_variance_ratio_interval(reference, treatment)
    assert found == permutation_variance_ratio_interval(reference, treatment)
    other = permutation_variance_ratio_interval(reference, treatment, seed=1)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), rel=0.05)


def test_too_few_values_are_named():
    with pytest.raises(ValueError, match=r"3 and 3 values are too few .* no p value is below 1/20"):
        permutation_variance_ratio_interval([1.0, 2.0, 4.0], [1.0, 3.0, 7.0])
    with pytest.raises(ValueError, match="no spread"):
        permutation_variance_ratio_interval([1.0] * 5, [1.0, 3.0, 7.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="at least 2"):
        permutation_variance_ratio_interval([1.0, 2.0], [1.0])
