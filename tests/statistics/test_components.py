import numpy as np
import pytest
from scipy import stats

from rlvr.statistics.components import (
    difference_interval,
    split_half_components,
    variance_interval,
    within_group_components,
)


def simulated_halves(rng, runs, seed_sd, sampling_sd):
    true = rng.normal(0, seed_sd, size=(runs, 1))
    return true + rng.normal(0, sampling_sd, size=(runs, 2))


def test_covariance_of_the_halves():
    rng = np.random.default_rng(0)
    halves = simulated_halves(rng, 6, 1.0, 0.5)
    found = split_half_components(halves)
    assert found.between == pytest.approx(np.cov(halves.T)[0, 1])
    assert found.total == pytest.approx(np.var(halves.mean(axis=1), ddof=1))
    assert found.between + found.sampling == pytest.approx(found.total)


def test_sampling_noise_is_taken_out_without_bias():
    rng = np.random.default_rng(1)
    found = [split_half_components(simulated_halves(rng, 5, 1.0, 2.0)) for _ in range(3000)]
    # Each half has sampling variance 4, so their mean has 2; the seeds' variance is 1.
    assert np.mean([one.between for one in found]) == pytest.approx(1.0, abs=0.15)
    assert np.mean([one.sampling for one in found]) == pytest.approx(2.0, abs=0.15)


def test_a_component_may_come_out_negative():
    assert split_half_components([[1.0, -1.0], [-1.0, 1.0]]).between == pytest.approx(-2.0)


def test_repeats_ignore_what_differs_between_seeds():
    rng = np.random.default_rng(2)
    groups = [100 * seed + simulated_halves(rng, 3, 1.0, 0.5) for seed in range(800)]
    found = within_group_components(groups)
    assert found.between == pytest.approx(1.0, abs=0.15)
    assert found.runs == 2400


@pytest.mark.parametrize("runs", [5, 10])
@pytest.mark.parametrize("true", [0.0, 0.1, 1.0, 10.0])
def test_intervals_cover_the_truth(runs, true):
    rng = np.random.default_rng(3)
    trials = 1_000
    found = [split_half_components(simulated_halves(rng, runs, true**0.5, 2.0**0.5)) for _ in range(trials)]
    # Nominal 0.95, above it only where a variance of zero cannot be missed from below.
    tolerance = 4 * (0.95 * 0.05 / trials) ** 0.5
    between = np.mean([one.between_low <= true <= one.between_high for one in found])
    assert between == pytest.approx(0.95 if true else 0.975, abs=tolerance)
    sampling = np.mean([one.sampling_low <= 1.0 <= one.sampling_high for one in found])
    assert sampling == pytest.approx(0.95, abs=tolerance)


def test_interval_of_repeats_counts_the_degrees_within_seeds():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(500):
        groups = [100 * seed + simulated_halves(rng, 3, 1.0, 1.0) for seed in range(4)]
        found = within_group_components(groups)
        covered += found.between_low <= 1.0 <= found.between_high
    assert covered / 500 == pytest.approx(0.95, abs=0.039)  # four standard errors


def test_difference_interval_at_its_ends():
    # Nothing is subtracted: the first's own interval. Nothing is there: minus the second's.
    low, high = variance_interval(3.0, 7)
    assert difference_interval(3.0, 0.0, 7) == pytest.approx((low, high))
    assert difference_interval(0.0, 3.0, 7) == pytest.approx((-high, -low))
    # A ratio of mean squares at the F test's limit: the interval just touches zero.
    ratio = stats.f(7, 7).ppf(0.975)
    assert difference_interval(ratio, 1.0, 7)[0] == pytest.approx(0.0, abs=1e-9)
    assert difference_interval(1 / ratio, 1.0, 7)[1] == pytest.approx(0.0, abs=1e-9)


def test_sampling_interval_is_the_chi_squares():
    assert variance_interval(2.0, 9, 0.9) == pytest.approx(
        (18 / stats.chi2(9).ppf(0.95), 18 / stats.chi2(9).ppf(0.05))
    )


def test_limits_are_cut_at_zero_and_widen_with_confidence():
    rng = np.random.default_rng(5)
    halves = simulated_halves(rng, 5, 0.0, 1.0)
    narrow, wide = (split_half_components(halves, confidence) for confidence in (0.8, 0.99))
    assert narrow.between_low == wide.between_low == 0.0
    assert wide.between_high > narrow.between_high
    assert wide.sampling_low < narrow.sampling_low <= narrow.sampling <= narrow.sampling_high
    assert (narrow.confidence, wide.confidence) == (0.8, 0.99)
    opposed = split_half_components([[1.0, -1.0], [-1.0, 1.0], [2.0, -2.0], [-2.0, 2.0]])
    assert (opposed.between_low, opposed.between_high) == (0.0, 0.0)
    with pytest.raises(ValueError, match="allowed: between 0 and 1"):
        split_half_components(halves, confidence=95)


def test_halves_that_agree_leave_no_sampling_noise():
    found = split_half_components([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    assert (found.sampling, found.sampling_low, found.sampling_high) == (0.0, 0.0, 0.0)
    assert found.between_low > 0


def test_one_run_is_not_enough():
    with pytest.raises(ValueError, match="at least 2"):
        split_half_components([[1.0, 1.0]])
    with pytest.raises(ValueError, match="no seed was run more than once"):
        within_group_components([])
