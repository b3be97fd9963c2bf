"""Is the treatment arm more variable? Tests and intervals for a ratio of two variances."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from rlvr.statistics.samples import Array, as_sample, rounding_variance
from rlvr.statistics.splits import Splits, all_splits, seeded_splits

# In a mean over tasks a zero variance must not swallow the other tasks: log ratios are cut to ±this.
LOG_RATIO_LIMIT = 50.0
# Log ratios this near are ties: splits that only swap equal values must not fall to one side by rounding.
TIE = 1e-9
# Sums of squares give a log ratio to about 1e-16 / SMALL_SHARE; within SURE of the observed one, or with a
# side below SMALL_SHARE of all the spread, a split is computed anew from its centred values.
SMALL_SHARE = 1e-8
SURE = 1e-6
BLOCK = 20_000


@dataclass(frozen=True)
class TestResult:
    """A test's statistic and p value."""

    __test__ = False  # not a test case for pytest

    statistic: float
    pvalue: float


@dataclass(frozen=True)
class PermutationResult:
    """Result of `variance_ratio_permutation_test`: `statistic` is the log of `ratio`.

    `splits` were compared: all there are if `exact`, else drawn at random.
    """

    statistic: float
    pvalue: float
    ratio: float
    splits: int
    exact: bool


@dataclass(frozen=True)
class RatioInterval:
    """A variance ratio, treatment over reference, with its two-sided interval."""

    ratio: float
    low: float
    high: float


def _log_ratios(reference: Array, treatment: Array, rounding: Array) -> Array:
    """Mean over tasks of log(var treatment / var reference); values on axis -2, tasks on axis -1.

    No spread on both sides gives 0 (no evidence), on one side ±infinity.
    """
    spread_r, spread_t = (np.var(side, axis=-2, ddof=1) for side in (reference, treatment))
    spread_r, spread_t = (np.where(spread > rounding, spread, 0.0) for spread in (spread_r, spread_t))
    neither = (spread_r == 0) & (spread_t == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(neither, 0.0, np.log(spread_t) - np.log(spread_r))
    if logs.shape[-1] == 1:
        return logs[..., 0]
    return np.clip(logs, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).mean(axis=-1)


def _reached(pooled: Array, splits: Splits, observed: float, rounding: Array, mirrored: bool) -> int:
    """How many splits (true where a run is in the treatment half) have a statistic of at least `observed`.

    With `mirrored`, their mirror images, which have the opposite statistic, are counted too. All are
    compared by sums and sums of squares, which is fast but loses the digits of a small spread; those near
    the observed statistic, or with a side that hardly varies, are then compared by `_log_ratios`.
    """
    squares, weights = pooled**2, splits.astype(np.float64)
    chosen, left = int(splits[0].sum()), len(pooled) - int(splits[0].sum())
    sums, parts = weights @ pooled, weights @ squares
    spread_t = parts - sums**2 / chosen
    spread_r = squares.sum(axis=0) - parts - (pooled.sum(axis=0) - sums) ** 2 / left
    small = np.minimum(spread_t, spread_r) <= SMALL_SHARE * squares.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(spread_t * ((left - 1) / (chosen - 1)) / spread_r).mean(axis=1)
        near = np.abs(np.abs(logs) - abs(observed)) <= SURE
    unsure = small.any(axis=1) | near
    reached = _count(logs[~unsure], observed, mirrored)
    if unsure.any():
        masks = splits[unsure]
        reference, treatment = (
            pooled[np.nonzero(mask)[1]].reshape(len(masks), -1, pooled.shape[1]) for mask in (~masks, masks)
        )
        reached += _count(_log_ratios(reference, treatment, rounding), observed - TIE, mirrored)
    return reached


def _count(statistics: Array, least: float, mirrored: bool) -> int:
    """How many reach `least`, with their opposites if `mirrored`."""
    reached = np.count_nonzero(statistics >= least)
    return int(reached + np.count_nonzero(-statistics >= least)) if mirrored else int(reached)


def variance_ratio_permutation_test(
    reference: ArrayLike,
    treatment: ArrayLike,
    max_splits: int = 200_000,
    monte_carlo: int = 9_999,
    seed: int = 0,
) -> PermutationResult:
    """One-sided permutation test that `treatment` is more variable than `reference`.

    The statistic is log(s²_treatment / s²_reference) with sample variances (n − 1). Each arm is centred on
    its own mean before values are exchanged: otherwise a mere shift between the arms rejects far too often.
    Up to `max_splits` splits are enumerated and p is the share with a statistic at least as large, the
    observed one included; beyond, `monte_carlo` random splits give p = (b + 1) / (m + 1) (Phipson & Smyth
    2010). Samples of shape (runs, tasks) are split by whole runs and the statistic is the mean log ratio over
    tasks, so that tasks may be correlated within a run. Where neither side of a split has any spread its log
    ratio is 0, where one side has none it is ±infinity (cut to ±50 in a mean over tasks).

    ValueError with fewer than two values in an arm, or when the arms have different tasks.
    """
    reference = as_sample(reference, "the reference arm", dimensions=(1, 2))
    treatment = as_sample(treatment, "the treatment arm", dimensions=(1, 2))
    if reference.shape[1:] != treatment.shape[1:]:
        raise ValueError("the arms have different numbers of tasks (columns)")
    reference, treatment = (side.reshape(len(side), -1) for side in (reference, treatment))
    rounding = rounding_variance(reference, treatment)
    observed = float(_log_ratios(reference, treatment, rounding))
    pooled = np.concatenate([side - side.mean(axis=0) for side in (reference, treatment)])
    n, chosen = len(pooled), len(treatment)
    exact = math.comb(n, chosen) <= max_splits
    splits = all_splits(n, chosen) if exact else seeded_splits(n, chosen, monte_carlo, seed)
    # Of all splits of equal arms the first half are the mirror images of the second.
    mirrored = exact and 2 * chosen == n
    compared = splits[: len(splits) // 2] if mirrored else splits
    blocks = np.array_split(compared, math.ceil(len(compared) / BLOCK))
    reached = sum(_reached(pooled, block, observed, rounding, mirrored) for block in blocks)
    pvalue = reached / len(splits) if exact else (reached + 1) / (len(splits) + 1)
    with np.errstate(over="ignore"):
        ratio = float(np.exp(observed))
    return PermutationResult(observed, pvalue, ratio, len(splits), exact)


def brown_forsythe_one_sided(reference: ArrayLike, treatment: ArrayLike) -> TestResult:
    """One-sided Brown–Forsythe test (1974) that `treatment` is more variable than `reference`.

    Student's t (equal variances) on absolute deviations from each arm's own median; its square is the
    statistic of `scipy.stats.levene(center="median")`. ValueError with fewer than three values in an arm (two
    are always equally far from their median), or when all deviations are equal within both arms but differ
    between them.
    """
    reference = as_sample(reference, "the reference arm", smallest=3)
    treatment = as_sample(treatment, "the treatment arm", smallest=3)
    rounding = float(rounding_variance(reference, treatment))
    deviations = [np.abs(side - np.median(side)) for side in (reference, treatment)]
    if all(np.var(side) <= rounding for side in deviations):
        if (deviations[1].mean() - deviations[0].mean()) ** 2 <= rounding:
            return TestResult(0.0, 1.0)
        raise ValueError(
            "the deviations from the median do not vary within either arm: no error to test against"
        )
    result = stats.ttest_ind(deviations[1], deviations[0], equal_var=True, alternative="greater")
    return TestResult(float(result.statistic), float(result.pvalue))


def varied_arms(reference: ArrayLike, treatment: ArrayLike) -> tuple[Array, Array, float, float]:
    """Both arms as samples, and their variances; ValueError for under two values in an arm or no spread."""
    reference = as_sample(reference, "the reference arm")
    treatment = as_sample(treatment, "the treatment arm")
    rounding = float(rounding_variance(reference, treatment))
    spread_r, spread_t = (float(np.var(side, ddof=1)) for side in (reference, treatment))
    if min(spread_r, spread_t) <= rounding:
        raise ValueError("an arm has no spread over seeds, so the variance ratio has no interval")
    return reference, treatment, spread_r, spread_t


def variance_ratio_interval(
    reference: ArrayLike, treatment: ArrayLike, confidence: float = 0.95
) -> RatioInterval:
    """The F interval of σ²_treatment / σ²_reference: exact for normal data, sensitive to heavy tails.

    ValueError when an arm has fewer than two values or no spread.
    """
    reference, treatment, spread_r, spread_t = varied_arms(reference, treatment)
    ratio, tail = spread_t / spread_r, (1 - confidence) / 2
    quantile = stats.f(len(treatment) - 1, len(reference) - 1).ppf
    return RatioInterval(ratio, float(ratio / quantile(1 - tail)), float(ratio / quantile(tail)))


def _log_variance_pseudovalues(sample: Array) -> Array:
    """Jackknife pseudo-values of the mean over tasks of log s², one per run."""
    n = len(sample)

    def measure(rows: Array) -> float:
        return float(np.log(np.var(rows, axis=0, ddof=1)).mean())

    without = np.array([measure(np.delete(sample, left_out, axis=0)) for left_out in range(n)])
    return n * measure(sample) - (n - 1) * without


def pooled_variance_ratio_interval(
    reference: ArrayLike, treatment: ArrayLike, confidence: float = 0.95
) -> RatioInterval:
    """The geometric mean over tasks of the variance ratios, with Miller's jackknife interval.

    Samples have shape (runs, tasks). Leaving out whole runs keeps the correlation between tasks.
    Pseudo-values of the mean log variance per arm, compared by Welch's t (Miller 1968, Ann. Math. Stat.
    39:567). `ratio` is the plain (not the jackknifed) estimate. ValueError with fewer than three runs in an
    arm, or where an arm has (or, without one run, is left with) no spread on some task.
    """
    reference = as_sample(reference, "the reference arm", smallest=3, dimensions=(2,))
    treatment = as_sample(treatment, "the treatment arm", smallest=3, dimensions=(2,))
    rounding = rounding_variance(reference, treatment)
    for side in (reference, treatment):
        parts = [side, *(np.delete(side, left_out, axis=0) for left_out in range(len(side)))]
        if any((np.var(part, axis=0, ddof=1) <= rounding).any() for part in parts):
            raise ValueError(
                "an arm has (nearly) no spread over seeds on a task: no interval for the pooled ratio"
            )
    pseudo = [_log_variance_pseudovalues(side) for side in (reference, treatment)]
    interval = stats.ttest_ind(pseudo[1], pseudo[0], equal_var=False).confidence_interval(confidence)
    log_ratio = float(_log_ratios(reference, treatment, rounding))
    low, high = np.exp(np.clip([interval.low, interval.high], -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))
    return RatioInterval(math.exp(log_ratio), float(low), float(high))
