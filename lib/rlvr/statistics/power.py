"""What the tests could have seen: detectable variance ratios and the power of the equivalence test."""

import math
from functools import cache

import numpy as np
from scipy import stats

from rlvr.statistics.splits import all_splits, random_splits

# Monte Carlo settings of `permutation_detectable_variance_ratio`: its result is good to about 5 %.
SIMULATIONS = 2_000
LARGEST_SPLITS = 1_000
LARGEST_LOG_RATIO = math.log(1e6)


def minimal_detectable_variance_ratio(n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true variance ratio that a one-sided F test of n against n values finds with this power.

    F(1 − α) / F(1 − power), both with (n − 1, n − 1) degrees of freedom; normal theory. The permutation test
    needs more: `permutation_detectable_variance_ratio`.
    """
    if n < 2:
        raise ValueError(f"n is {n}; a variance needs at least 2 values per arm")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha is {alpha} and power {power}; allowed: between 0 and 1")
    quantile = stats.f(n - 1, n - 1).ppf
    return float(quantile(1 - alpha) / quantile(1 - power))


def _rejections(values: np.ndarray, splits: np.ndarray, alpha: float, exact: bool) -> float:
    """Share of the rows of `values` (reference half, treatment half; each centred) that the test rejects."""
    n = values.shape[1] // 2
    sums, squares = values @ splits.T, (values**2) @ splits.T
    total = (values**2).sum(axis=1, keepdims=True)
    # The values of a row sum to zero, so both halves of a split have sums of the same size.
    spread_t, spread_r = squares - sums**2 / n, total - squares - sums**2 / n
    observed = (values[:, n:] ** 2).sum(axis=1) / (values[:, :n] ** 2).sum(axis=1)
    reached = (spread_t >= spread_r * observed[:, None] * (1 - 1e-9)).sum(axis=1)
    pvalues = reached / len(splits) if exact else (reached + 1) / (len(splits) + 1)
    return float((pvalues <= alpha).mean())


@cache
def permutation_detectable_variance_ratio(
    n: int, alpha: float = 0.05, power: float = 0.8, seed: int = 0
) -> float | None:
    """As `minimal_detectable_variance_ratio`, for the centred permutation test, by simulation of normal data.

    None where no ratio up to a million is found with this power, as when the smallest possible p exceeds
    alpha.
    """
    if n < 2:
        raise ValueError(f"n is {n}; a variance needs at least 2 values per arm")
    rng = np.random.default_rng(seed)
    exact = math.comb(2 * n, n) <= LARGEST_SPLITS
    chosen = all_splits(2 * n, n) if exact else random_splits(2 * n, n, LARGEST_SPLITS - 1, rng)
    splits = chosen.astype(float)
    arms = rng.standard_normal((SIMULATIONS, 2, n))
    arms -= arms.mean(axis=2, keepdims=True)

    def power_at(log_ratio: float) -> float:
        scaled = arms * np.array([1.0, math.exp(log_ratio / 2)])[:, None]
        return _rejections(scaled.reshape(SIMULATIONS, 2 * n), splits, alpha, exact)

    low, high = 0.0, LARGEST_LOG_RATIO
    if power_at(high) < power:
        return None
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return math.exp(high)


def equivalence_power(standard_error: float, degrees: float, margin: float, alpha: float = 0.05) -> float:
    """Power of the two one-sided t tests if the true difference is zero: 2·T(margin/se − t_{1−α}) − 1, or 0.

    T is the central t distribution with `degrees` degrees of freedom, the usual approximation.
    """
    if standard_error == 0:
        return 1.0
    reach = margin / standard_error - stats.t(degrees).ppf(1 - alpha)
    return max(0.0, float(2 * stats.t(degrees).cdf(reach) - 1))
