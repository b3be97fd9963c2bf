"""Critical ratios of the usual plans, kept as quantiles, so that a plan is answered without a simulation.

Kept for 2 to 64 values per arm and the levels 0.05 / k of Holm's first step with up to 10 tasks, from the
simulations of `rlvr.statistics.critical`; `bench/critical_ratios.py` writes the file and says what the
quantiles cost in accuracy. All others are simulated.
"""

from functools import cache
from pathlib import Path

import numpy as np

from rlvr.statistics.critical import brown_forsythe_critical_ratios, permutation_critical_ratios
from rlvr.statistics.samples import Array

DATA_FILES = ("critical_ratios.npz",)
KEPT = Path(__file__).with_name(DATA_FILES[0])
SEEDS = range(2, 65)
LEVELS = tuple(0.05 / tasks for tasks in range(1, 11))
# Of the distribution of critical ratios, at the middles of as many equal shares.
QUANTILES = 64
SIMULATIONS = {"permutation": permutation_critical_ratios, "brown_forsythe": brown_forsythe_critical_ratios}


def critical_ratios(test: str, n: int, alpha: float) -> Array:
    """Critical ratios of a test of `SIMULATIONS`, each as likely as the others; infinite where none rejects.

    Shape (QUANTILES,) where the plan's are kept, else (simulations,). A rounded level, such as 0.0167 for
    0.05 / 3, is another one.
    """
    if n in SEEDS and alpha in LEVELS:
        return _kept(test)[LEVELS.index(alpha), SEEDS.index(n)]
    return SIMULATIONS[test](n, alpha)


def quantiles(critical: Array) -> Array:
    """What is kept of simulated critical ratios: shape (QUANTILES,), ascending."""
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    # One that was simulated, since between a number and infinity there is none.
    return np.sort(critical)[(places * len(critical)).astype(int)]


@cache
def _kept(test: str) -> Array:
    """Shape (levels, seeds, QUANTILES)."""
    with np.load(KEPT) as tables:
        return tables[test].astype(float)
