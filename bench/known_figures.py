"""The known figures of the tests of variances and of the split-half variance component, precisely.

    python bench/known_figures.py [--trials 40000]      # a minute

Each figure is printed with its standard error; tests/statistics has fast versions of the same.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from rlvr.statistics.components import split_half_components
from rlvr.statistics.critical import permutation_critical_ratios
from rlvr.statistics.power import minimal_detectable_variance_ratio
from rlvr.statistics.variance import variance_ratio_permutation_test

OFF = 6
HOLM_ALPHA = 0.05 / OFF  # the first step of Holm over six off-tasks
Write = Callable[[str], object]


@dataclass(frozen=True)
class SharedProblems:
    """A small benchmark: problems with their own accuracies, the same for all seeds, four samples of each.

    The accuracies are the mid-quantiles of Beta(0.7, 0.7): many problems are nearly always or nearly never
    solved. A seed moves the mean accuracy by d, normal with `seed_variance`, and each problem in proportion
    to p(1 − p).
    """

    problems: int = 30
    samples: int = 4
    seeds: int = 5
    seed_variance: float = 3.3e-4
    shape: float = 0.7

    def accuracies(self, studies: int, rng: np.random.Generator) -> np.ndarray:
        """True accuracies, shape (studies, seeds, problems); their mean over problems varies as stated."""
        base = stats.beta(self.shape, self.shape).ppf((np.arange(self.problems) + 0.5) / self.problems)
        moved = base * (1 - base) / (base * (1 - base)).mean()
        shift = rng.normal(0, math.sqrt(self.seed_variance), (studies, self.seeds, 1))
        return np.clip(base + shift * moved, 0, 1)


@dataclass(frozen=True)
class ComponentEstimates:
    """Estimates of the seed variance, one per study."""

    clustered: np.ndarray
    split_half: np.ndarray


def estimate_components(design: SharedProblems, studies: int, seed: int) -> ComponentEstimates:
    """S² minus the squared error clustered by problem, and the split-half covariance, on the same scores."""
    rng = np.random.default_rng(seed)
    rates = design.accuracies(studies, rng)
    half = design.samples // 2
    halves = np.stack([rng.binomial(half, rates) for _ in range(2)], axis=-1) / half
    scores = halves.mean(axis=-1)
    clustered = scores.var(axis=2, ddof=1).mean(axis=1) / design.problems
    spread = scores.mean(axis=2).var(axis=1, ddof=1)
    split_half = np.array([split_half_components(study).between for study in halves.mean(axis=2)])
    return ComponentEstimates(spread - clustered, split_half)


def share(hits: np.ndarray) -> str:
    rate = float(np.mean(hits))
    return f"{rate:.2%} ± {math.sqrt(rate * (1 - rate) / len(hits)):.2%}"


def mean(values: np.ndarray) -> str:
    return f"{values.mean():+.2e} ± {values.std() / math.sqrt(len(values)):.0e}"


def brown_forsythe_pvalues(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two-sided p values, one per row: Student's t on absolute deviations from the medians."""
    deviations = (np.abs(side - np.median(side, axis=1, keepdims=True)) for side in (a, b))
    return stats.ttest_ind(*deviations, axis=1).pvalue


def permutation_detectable(n: int, alpha: float, batches: int = 10) -> tuple[float, float]:
    """The ratio found with 80 % power and its standard error, from batches with seeds of their own."""
    tail = stats.f(n - 1, n - 1)
    found = []
    for seed in range(1, batches + 1):
        critical = permutation_critical_ratios(n, alpha, seed=seed)
        log_ratio = optimize.brentq(lambda log, c=critical: tail.sf(c / np.exp(log)).mean() - 0.8, 0, 10)
        found.append(math.exp(log_ratio))
    return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(batches))


def print_detectable(write: Write) -> None:
    for alpha in (0.05, HOLM_ALPHA):
        for n in (5, 10, 20):
            ratio, error = permutation_detectable(n, alpha)
            f_ratio = minimal_detectable_variance_ratio(n, alpha)
            write(
                f"Ratio found with 80 % power at {alpha:.4f}, {n} per arm: "
                f"F {f_ratio:.1f}, permutation {ratio:.4g} ± {error:.1g}\n"
            )
    for n, ratio, alpha in ((5, 41, 0.05), (10, 7.1, 0.05), (20, 3.6, 0.05), (5, 150, HOLM_ALPHA)):
        critical = np.array([permutation_critical_ratios(n, alpha, seed=batch) for batch in range(1, 11)])
        powers = stats.f(n - 1, n - 1).sf(critical / ratio).mean(axis=1)
        error = powers.std(ddof=1) / math.sqrt(len(powers))
        write(f"Ratio {ratio}, {n} per arm: power {powers.mean():.2%} ± {error:.2%} at {alpha:.4f}\n")


def print_levels(trials: int, rng: np.random.Generator, write: Write) -> None:
    """How often the permutation test rejects where nothing differs."""

    def pvalues(arms: np.ndarray) -> np.ndarray:
        return np.array([variance_ratio_permutation_test(*pair).pvalue for pair in arms])

    pooled = pvalues(rng.standard_normal((trials // 4, 2, 5, OFF)))
    write(f"Pooled over {OFF} tasks, normal, 5 per arm: rejects {share(pooled <= 0.05)} at 0.05\n")
    for n, studies in ((5, trials // 4), (10, trials // 10)):
        heavy = pvalues(rng.standard_t(3, (studies, 2, n)))
        for alpha in (0.05, HOLM_ALPHA):
            write(f"One task, t with 3 df, {n} per arm: rejects {share(heavy <= alpha)} at {alpha:.4f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40_000)
    trials = parser.parse_args().trials
    rng = np.random.default_rng(0)
    write = sys.stdout.write
    a, b = rng.standard_normal((trials, 5)), math.sqrt(8) * rng.standard_normal((trials, 5))
    power = share(brown_forsythe_pvalues(a, b) <= 0.05)
    write(f"Brown–Forsythe, two-sided, 5 + 5 values, variance ratio 8: power {power}\n")
    extreme = variance_ratio_permutation_test([1.0, 1.1, 0.9, 1.05, 0.95], [10, -20, 30, -40, 55])
    write(f"Smallest one-sided permutation p with 5 + 5: {extreme.pvalue:.6f} = 1/{1 / extreme.pvalue:.0f}\n")
    print_detectable(write)
    print_levels(trials, rng, write)
    design = SharedProblems()
    found = estimate_components(design, trials // 2, seed=1)
    write(f"{design}\n")
    write(f"  true σ²(seed) {design.seed_variance:.2e}\n")
    write(
        f"  S² minus the clustered error: {mean(found.clustered)}\n  split halves: {mean(found.split_half)}\n"
    )


if __name__ == "__main__":
    main()
