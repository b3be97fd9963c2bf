"""What would change a verdict, in a sentence computed from the numbers behind it."""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from rlvr.analysis.hypothesis import POOLED, POWER, Hypothesis, given, ratio_words
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.equivalence import EquivalenceResult
from rlvr.statistics.planning import MOST_SEEDS, equivalence_seeds, smallest_seeds
from rlvr.statistics.power import greater_power, permutation_detectable_variance_ratio
from rlvr.statistics.samples import Array

# The permutation test's power is simulated, so numbers of seeds are looked up on this grid.
SEED_GRID = (3, 4, 5, 6, 8, 10, 15, 20, 30, MOST_SEEDS)


def seed_words(count: int | None, quantifier: str) -> str:
    """`about 12 seeds an arm` (or `at most`); `more than 64 seeds an arm` where none up to it will do."""
    return f"more than {MOST_SEEDS} seeds an arm" if count is None else f"{quantifier} {count} seeds an arm"


def _now(claim: Hypothesis) -> str:
    return f"(now {claim.seeds_reference} and {claim.seeds_arm})"


def _welch_at(reference: Array, treatment: Array, count: int) -> tuple[float, float]:
    """Standard error and degrees of freedom of a difference of means over `count` seeds, spread as now."""
    a, b = (float(np.var(side, ddof=1)) for side in (reference, treatment))
    return math.sqrt((a + b) / count), (count - 1) * (a + b) ** 2 / (a**2 + b**2)


def beyond_seeds(reference: Array, treatment: Array, margin: float, confidence: float) -> int | None:
    """Seeds an arm at which the interval lies beyond the margin, if difference and spread stay as now."""
    excess = abs(float(treatment.mean() - reference.mean())) - margin

    def beyond(count: int) -> bool:
        error, degrees = _welch_at(reference, treatment, count)
        return excess > float(stats.t(degrees).ppf((1 + confidence) / 2)) * error

    return smallest_seeds(lambda count: float(beyond(count)), power=1.0) if excess > 0 else None


def greater_seeds(reference: Array, treatment: Array, alpha: float) -> int | None:
    """Seeds an arm at which a one-sided Welch test finds the difference seen with 80 % power (noncentral)."""
    difference = float(treatment.mean() - reference.mean())

    def found(count: int) -> float:
        return greater_power(*_welch_at(reference, treatment, count), difference, alpha)

    return smallest_seeds(found, POWER) if difference > 0 else None


def variability_seeds(ratio: float, alpha: float) -> int | None:
    """Seeds an arm, of `SEED_GRID`, at which the permutation test on one task finds a ratio (80 % power)."""
    low, high = 0, len(SEED_GRID)
    while low < high:
        middle = (low + high) // 2
        detectable = permutation_detectable_variance_ratio(SEED_GRID[middle], alpha)
        low, high = (low, middle) if detectable is not None and detectable <= ratio else (middle + 1, high)
    return SEED_GRID[low] if low < len(SEED_GRID) else None


def equivalence_change(
    claim: Hypothesis,
    found: EquivalenceResult,
    arms: tuple[Array, Array],
    config: AnalysisConfig,
    in_words: Callable[[float], str],
) -> str:
    """For a claim of equivalence; `in_words` says a distance (a margin) in the unit that people read."""
    now = in_words(found.margin)
    reach = float(stats.t(found.degrees).ppf(1 - config.alpha)) * found.standard_error
    smallest = in_words(abs(found.difference) + reach)
    if claim.verdict == "supported":
        return f"Only a margin below {smallest} would change this (the margin is {now})."
    if claim.verdict == "refuted":
        nearer = in_words(min(abs(found.low), abs(found.high)))
        return f"Only a margin above {nearer} would change this (the margin is {now})."
    if abs(found.difference) <= found.margin:
        sd = math.sqrt(sum(float(np.var(side, ddof=1)) for side in arms) / 2)
        count = equivalence_seeds(sd, found.margin, config.alpha, POWER)
        if count is not None and count <= min(claim.seeds_reference, claim.seeds_arm):
            return (
                f"There are seeds enough; the difference is too near the margin of {now}, and only one above "
                f"{smallest} would show equivalence."
            )
        return (
            f"If the arms are alike and vary as here, {seed_words(count, 'about')} {_now(claim)} would show "
            f"it with {100 * POWER:.0f} % power."
        )
    count = beyond_seeds(*arms, found.margin, config.confidence)
    return (
        f"If the difference and the spread stay as they are, {seed_words(count, 'about')} {_now(claim)} "
        f"would show a difference beyond {now}."
    )


def more_variable_change(claim: Hypothesis, limit: float, alpha: float, tests: int) -> str:
    """For a tested claim that variances over seeds are larger: `limit` is the smallest ratio of interest."""
    if claim.verdict != "inconclusive":
        return _decided_change(claim, limit, alpha)
    if claim.high is not None and claim.high < limit:
        return (
            f"More samples per problem would make evaluation sampling a smaller part of the variance; below "
            f"one half in both arms, a ratio of {limit:g} would count as excluded."
        )
    if given(claim.effect) <= 1:
        return _exclusion(claim, limit)
    test = "a test on one task" if claim.task == POOLED else "this test"
    count = variability_seeds(given(claim.effect), alpha / tests)
    condition = f"the true ratio is the {ratio_words(given(claim.effect))} seen here"
    return _larger_seeds(claim, condition, test, count, "at most")


def larger_change(
    claim: Hypothesis, arms: tuple[Array, Array], limit: float, alpha: float, tests: int
) -> str:
    """For a tested claim that a mean is larger: `limit` is the smallest ratio of interest."""
    if claim.verdict != "inconclusive":
        return _decided_change(claim, limit, alpha)
    if given(claim.effect) <= 1:
        return _exclusion(claim, limit)
    count = greater_seeds(*arms, alpha / tests)
    return _larger_seeds(claim, "the difference and the spread stay as they are", "this test", count, "about")


def _larger_seeds(claim: Hypothesis, condition: str, test: str, count: int | None, quantifier: str) -> str:
    """How many seeds find what was seen; where there are so many already, that it may well be missed."""
    power, seeds = f"{100 * POWER:.0f} % power", seed_words(count, quantifier)
    if count is not None and count <= min(claim.seeds_reference, claim.seeds_arm):
        return (
            f"If {condition}, {seeds} are enough for {test} to find it with {power}, and there are "
            f"{claim.seeds_reference} and {claim.seeds_arm}: that it was not found is within chance."
        )
    return f"If {condition}, {test} would find it with {power} from {seeds} on {_now(claim)}."


def _decided_change(claim: Hypothesis, limit: float, alpha: float) -> str:
    if claim.verdict == "supported":
        p = f"{claim.pvalue_adjusted:.2g}"
        return f"Only a stricter level than {p} would change this (the level is {alpha:g})."
    high = ratio_words(given(claim.high))
    return f"Only a smallest ratio of interest below {high} would change this (it is {limit:g})."


def _exclusion(claim: Hypothesis, limit: float) -> str:
    """What is left where the ratio seen points the other way: the upper limit may come to exclude a ratio."""
    seen = f"The ratio seen, {ratio_words(given(claim.effect))}, is not above 1"
    if claim.high is None:
        return f"{seen}, and it has no interval: {claim.reason}."
    return (
        f"{seen}; if it stays so, more seeds would exclude a ratio of {limit:g} once the upper limit, now "
        f"{ratio_words(claim.high)}, falls below that."
    )
