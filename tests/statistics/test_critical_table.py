import numpy as np
import pytest
from scipy import stats

from rlvr.statistics.critical_table import LEVELS, QUANTILES, SEEDS, SIMULATIONS, critical_ratios


def power(n, critical):
    return np.array([stats.f(n - 1, n - 1).sf(critical / ratio).mean() for ratio in (2, 4, 8, 30, 100)])


@pytest.mark.parametrize("test", SIMULATIONS)
@pytest.mark.parametrize(("n", "alpha"), [(5, 0.05), (6, 0.05 / 6), (10, 0.05 / 10), (13, 0.05)])
def test_what_is_kept_has_the_power_of_the_simulation(test, n, alpha):
    kept = critical_ratios(test, n, alpha)
    assert kept.shape == (QUANTILES,)
    # Each of the 64 stands for as large a share; one at the edge of "never" may count half of it too much.
    assert power(n, kept) == pytest.approx(power(n, SIMULATIONS[test](n, alpha)), abs=0.5 / QUANTILES)


@pytest.mark.parametrize("test", SIMULATIONS)
def test_all_that_is_kept_is_sorted_and_falls_with_more_seeds(test):
    for alpha in LEVELS:
        kept = np.stack([critical_ratios(test, n, alpha) for n in SEEDS])
        assert (kept[:, :-1] <= kept[:, 1:]).all()
        assert kept.min() >= 1
        # Medians of simulations: one more seed asks for less, up to chance, and eight more surely do.
        middle = kept[10:, QUANTILES // 2]
        assert (middle[8:] < middle[:-8]).all()


def test_another_level_is_simulated():
    other = critical_ratios("permutation", 5, 0.04)
    assert len(other) > QUANTILES
    assert power(5, other)[2] < power(5, critical_ratios("permutation", 5, 0.05))[2]
