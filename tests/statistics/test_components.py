import numpy as np
import pytest

from rlvr.statistics.components import split_half_components, within_group_components


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


def test_one_run_is_not_enough():
    with pytest.raises(ValueError, match="at least 2"):
        split_half_components([[1.0, 1.0]])
    with pytest.raises(ValueError, match="no seed was run more than once"):
        within_group_components([])
