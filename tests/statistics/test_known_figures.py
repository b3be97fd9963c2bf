"""Fast versions of bench/known_figures.py; the figures that need no simulation are in test_power.py."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("known_figures")


def test_split_halves_are_unbiased_where_the_clustered_error_is_not(figures):
    design = figures.SharedProblems()
    found = figures.estimate_components(design, studies=4_000, seed=2)
    error = found.split_half.std() / math.sqrt(4_000)
    assert found.split_half.mean() == pytest.approx(design.seed_variance, abs=4 * error)
    # The spread of the problems' own accuracies over the number of problems is subtracted wrongly.
    accuracies = stats.beta(0.7, 0.7).ppf((np.arange(30) + 0.5) / 30)
    expected = design.seed_variance - accuracies.var(ddof=1) / 30
    assert expected < -3e-3
    error = found.clustered.std() / math.sqrt(4_000)
    assert found.clustered.mean() == pytest.approx(expected, abs=4 * error + 0.02 * abs(expected))


def test_the_designs_seeds_vary_as_stated(figures):
    design = figures.SharedProblems()
    means = design.accuracies(20_000, np.random.default_rng(3)).mean(axis=2)
    # The sd of a variance of 100,000 values is 0.45 %.
    assert means.var() == pytest.approx(design.seed_variance, rel=0.02)


def test_two_sided_p_values_are_levenes(figures):
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(5, 5)), 3 * rng.normal(size=(5, 5))
    found = figures.brown_forsythe_pvalues(a, b)
    expected = [stats.levene(x, y, center="median").pvalue for x, y in zip(a, b, strict=True)]
    assert found == pytest.approx(expected)


def test_brown_forsythe_two_sided_hardly_sees_a_ratio_of_8_with_five_values(figures):
    rng = np.random.default_rng(5)
    trials = 20_000
    a, b = rng.normal(size=(trials, 5)), 8**0.5 * rng.normal(size=(trials, 5))
    found = (figures.brown_forsythe_pvalues(a, b) <= 0.05).mean()
    # About 7 %; four standard errors of a share over the trials are 0.0072.
    assert found == pytest.approx(0.07, abs=0.0072)
