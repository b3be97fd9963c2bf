"""False positives at their level; and a short version of bench/calibration.py, the analysis as it is."""

import importlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rlvr.statistics.equivalence import equivalence_test, welch_greater
from rlvr.statistics.variance import variance_ratio_permutation_test
from rlvr.statistics.verdicts import holm

BENCH = Path(__file__).parents[2] / "bench"
STUDIES = 60
SEEDS = 5
DRAWS, ALPHA, MARGIN = 1000, 0.05, 2.0


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        yield importlib.import_module("calibration")


@pytest.fixture(scope="module")
def config(bench):
    return bench.analysis_config()


def most(level):
    """A count that a test of this level exceeds once in ten thousand times; fixed before any simulation."""
    return stats.binom.ppf(0.9999, STUDIES, level)


def false_positives(rng):
    """How often each test of the study finds what is not there, in draws of two arms of five runs each.

    Six tasks correlated 0.5, the first on-task; the arms differ by the margin on-task, else in nothing.
    """
    counted = Counter()
    for _ in range(DRAWS):
        shared, own = rng.standard_normal((2, SEEDS, 1)), rng.standard_normal((2, SEEDS, 6))
        a, b = np.sqrt(0.5) * (shared + own)
        by_task = [variance_ratio_permutation_test(a[:, task], b[:, task]).pvalue for task in range(1, 6)]
        pooled = variance_ratio_permutation_test(a[:, 1:], b[:, 1:]).pvalue
        larger = welch_greater(a[:, 1:].mean(axis=1), b[:, 1:].mean(axis=1)).pvalue
        counted["H1"] += equivalence_test(a[:, 0], b[:, 0] + MARGIN, MARGIN).pvalue <= ALPHA
        counted["H2 pooled"] += pooled <= ALPHA
        counted["H2 any task"] += min(holm(by_task)) <= ALPHA
        counted["H3 larger"] += larger <= ALPHA
        counted["H3 either"] += min(holm([larger, pooled])) <= ALPHA
    return counted


def test_no_test_rejects_more_often_than_its_level(bench):
    bound = stats.binom.ppf(0.999, DRAWS, ALPHA)
    # A test at double the level would not pass.
    assert stats.binom.cdf(bound, DRAWS, 2 * ALPHA) < 0.005
    counted = false_positives(np.random.default_rng(21))
    assert all(count <= bound for count in counted.values()), counted


def test_arms_alike_are_seldom_told_apart(bench, config):
    scenario = bench.Scenario("null", correlation=0.5, on_shift=config.equivalence_margin_points)
    counted = bench.count(scenario, SEEDS, STUDIES, 11, config)
    tests = ("H1", "H2 pooled", "H2 any task (Holm)", "H3 off-task, either (Holm)", "H3 whole")
    for test in tests:
        assert counted[test, "supported"] <= most(config.alpha), test


def test_planted_effects_are_found_at_the_predicted_power(bench, config):
    planted = bench.Scenario("planted", correlation=1.0, ratio=150.0)
    counted = bench.count(planted, SEEDS, STUDIES, 12, config)
    expected = bench.predictions(planted, SEEDS, config)
    for test in ("H1", "H3 on-task KL alike", "H2 pooled", "H2 any task (Holm)"):
        kind, power = expected[test]
        assert kind == "power"
        low, high = stats.binom.ppf([0.0001, 0.9999], STUDIES, power)
        assert low <= counted[test, "supported"] <= high, test


def test_larger_kl_is_found_at_the_predicted_power(bench, config):
    planted = bench.Scenario("planted", off_kl_shift=0.07)
    counted = bench.count(planted, SEEDS, STUDIES, 13, config)
    kind, power = bench.predictions(planted, SEEDS, config)["H3 off-task KL larger"]
    assert kind == "power at least"
    # Holm's second step adds at most what is left of the level there.
    assert counted["H3 off-task KL larger", "supported"] >= stats.binom.ppf(0.0001, STUDIES, power)
    assert 0.5 < power < 0.95


def test_equal_seeds_give_equal_studies(bench, config):
    scenario = bench.Scenario("null")
    assert bench.count(scenario, 5, 3, 1, config) == bench.count(scenario, 5, 3, 1, config)
