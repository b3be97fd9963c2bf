"""Critical ratios of the tests of variances: how good are those that are kept, or keep them anew.

    python bench/critical_ratios.py [--write]

Simulates every plan that lib/rlvr/statistics/critical_ratios.npz keeps (minutes), and prints the largest
difference of power, over variance ratios from 2 to 100, between the kept quantiles and the simulation.
`--write` replaces the file first.
"""

import argparse

import numpy as np
from scipy import special

from rlvr.statistics.critical_table import KEPT, LEVELS, SEEDS, SIMULATIONS, critical_ratios, quantiles

RATIOS = np.geomspace(2, 100, 20)


def simulated(test: str) -> dict[tuple[float, int], np.ndarray]:
    """Critical ratios by level and values per arm; a test of deviations from medians needs three values."""
    never = np.full(1, np.inf)
    few = 2 if test == "brown_forsythe" else 1
    return {(alpha, n): never if n <= few else SIMULATIONS[test](n, alpha) for alpha in LEVELS for n in SEEDS}


def power(n: int, critical: np.ndarray) -> np.ndarray:
    """At each of RATIOS."""
    return special.fdtrc(n - 1, n - 1, critical[:, None] / RATIOS).mean(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    found = {test: simulated(test) for test in SIMULATIONS}
    if write:
        shape = (len(LEVELS), len(SEEDS), -1)
        tables = {test: np.stack([quantiles(one) for one in all_.values()]) for test, all_ in found.items()}
        kept = {test: table.reshape(shape).astype(np.float32) for test, table in tables.items()}
        np.savez_compressed(KEPT, **kept)
        print(f"wrote {KEPT.name}: {KEPT.stat().st_size / 1e3:.0f} kB")
    for test, all_ in found.items():
        errors = {
            (alpha, n): np.abs(power(n, critical_ratios(test, n, alpha)) - power(n, one)).max()
            for (alpha, n), one in all_.items()
        }
        alpha, n = max(errors, key=errors.get)
        print(f"{test}: power differs by up to {errors[alpha, n]:.4f}, at level {alpha:.3g} with n = {n}")


if __name__ == "__main__":
    main()
