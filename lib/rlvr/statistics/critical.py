"""At which observed variance ratio a test rejects, by simulation of normal data: the basis of its power.

Two centred arms of n normal values have directions (unit vectors) and lengths that are independent. Whether
a test of variances rejects depends on the directions and on the observed ratio of variances only, and at a
true ratio ρ the observed one is ρ·F(n − 1, n − 1) whatever the directions. So the directions are simulated,
the smallest ratio that rejects is found for each, and the power at ρ is the mean of P(F ≥ critical / ρ): an
exact tail instead of a count, which leaves less to chance and serves every ρ at once.
"""

import math
from functools import cache

import numpy as np
from scipy import special

from rlvr.statistics.samples import Array
from rlvr.statistics.splits import all_splits, random_splits

# Pairs of a split and its mirror image up to this number are enumerated; beyond, about as many are drawn.
LARGEST_PAIRS = 1_000
# Simulations times pairs; few splits leave room for more simulations.
WORK = 2_000_000
BROWN_FORSYTHE_SIMULATIONS = 40_000
# Critical ratios are searched in 1 .. 1e8 by halving the logarithm, to 0.1 %; beyond they are infinite.
LARGEST_LOG_RATIO = math.log(1e8)
HALVINGS = 14
# Rows handled at a time, so that the work stays in the processor's cache.
BLOCK = 25


def _directions(n: int, rng: np.random.Generator, simulations: int) -> Array:
    """Directions of reference and treatment, shape (simulations, 2, n); rows centred and of length 1."""
    arms = rng.standard_normal((simulations, 2, n))
    arms -= arms.mean(axis=2, keepdims=True)
    return arms / np.sqrt((arms**2).sum(axis=2, keepdims=True))


def _splits(n: int, alpha: float, rng: np.random.Generator) -> tuple[Array, float]:
    """One of each split and its mirror image, as 0 and 1; how many may reach the observed ratio.

    With equal arms the mirror image of a split has the inverse ratio, so of each pair exactly one counts
    against a ratio above 1: the p value is half the share of pairs more extreme either way.
    """
    pairs = math.comb(2 * n, n) // 2
    if pairs <= LARGEST_PAIRS:
        # Rows with the first value in the treatment half; the observed split is one of the mirror images.
        return all_splits(2 * n, n)[:pairs].astype(float), math.floor(2 * alpha * pairs * (1 + 1e-12))
    # As many as make the level of the test with random splits, (b + 1)/(m + 1), equal to alpha.
    allowed = math.ceil(2 * alpha * LARGEST_PAIRS)
    drawn = round(allowed / (2 * alpha)) - 1
    return random_splits(2 * n, n, drawn, rng).astype(float), allowed - 1


@cache
def permutation_critical_ratios(n: int, alpha: float, simulations: int | None = None, seed: int = 0) -> Array:
    """Critical ratios of `variance_ratio_permutation_test` with n values per arm, one per simulation.

    Infinite where no ratio rejects. Read-only, as it is cached; by default as many simulations as a second's
    work allows.
    """
    rng = np.random.default_rng(seed)
    splits, allowed = _splits(n, alpha, rng)
    arms = _directions(n, rng, simulations or min(20_000, WORK // len(splits)))
    blocks = np.array_split(arms, math.ceil(len(arms) / BLOCK))
    critical = np.concatenate([_critical_ratios(block, splits, allowed) for block in blocks])
    critical.flags.writeable = False
    return critical


def _critical_ratios(arms: Array, splits: Array, allowed: float) -> Array:
    """The critical ratio of each row of `arms`, by bisection."""
    n = arms.shape[2]
    halves = np.stack([splits[:, :n].T, splits[:, n:].T])
    # What each arm contributes to a side's sum and sum of squares: shape (2, simulations, splits).
    sums, squares = arms.swapaxes(0, 1) @ halves, (arms**2).swapaxes(0, 1) @ halves

    def rejects(log_ratios: Array) -> np.ndarray:
        ratio = np.exp(log_ratios)[:, None]
        # The values of a row sum to zero, so both halves of a split have sums of the same size.
        centre = (sums[0] + np.sqrt(ratio) * sums[1]) ** 2 / n
        one = squares[0] + ratio * squares[1]
        other = 1 + ratio - one - centre
        one -= centre
        reached = np.maximum(one, other) >= np.minimum(one, other) * (ratio * (1 - 1e-9))
        return np.count_nonzero(reached, axis=1) <= allowed

    low, high = np.zeros(len(arms)), np.full(len(arms), LARGEST_LOG_RATIO)
    ever = rejects(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = rejects(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    return np.where(ever, np.exp((low + high) / 2), np.inf)


@cache
def brown_forsythe_critical_ratios(
    n: int, alpha: float, simulations: int = BROWN_FORSYTHE_SIMULATIONS, seed: int = 0
) -> Array:
    """Critical ratios of `brown_forsythe_one_sided` with n values per arm, infinite where no ratio rejects.

    With absolute deviations from the medians of mean m and sum of squares S per arm, t at a ratio s² is
    (s·m_t − m_r) / √((S_r + s²·S_t) / (n(n − 1))). It increases with s, so the critical s is a root of a
    quadratic, or there is none where even an infinite s would not do.
    """
    arms = _directions(n, np.random.default_rng(seed), simulations)
    deviations = np.abs(arms - np.median(arms, axis=2, keepdims=True))
    means = deviations.mean(axis=2)
    squares = ((deviations - means[:, :, None]) ** 2).sum(axis=2)
    limit = float(special.stdtrit(2 * n - 2, 1 - alpha)) ** 2 / (n * (n - 1))
    leading = means[:, 1] ** 2 - limit * squares[:, 1]
    product = means[:, 0] * means[:, 1]
    last = means[:, 0] ** 2 - limit * squares[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        root = (product + np.sqrt(product**2 - leading * last)) / leading
    critical = np.where(leading > 0, root**2, np.inf)
    critical.flags.writeable = False
    return critical
