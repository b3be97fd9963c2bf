"""An interval of a variance ratio by inverting the permutation test: holds without normal data."""

import math

import numpy as np
from numpy.typing import ArrayLike

from rlvr.statistics.samples import Array
from rlvr.statistics.splits import Splits, all_splits, seeded_splits
from rlvr.statistics.variance import TIE, RatioInterval, varied_arms

# Fewer splits than the test's: a limit moves by about 1 % only, and each is found in some 30 passes.
MAX_SPLITS = 20_000
# Limits are searched within this factor of the estimate, to 0.1 %.
LARGEST_LOG_RATIO = math.log(1e9)
HALVINGS = 16


def permutation_variance_ratio_interval(
    reference: ArrayLike, treatment: ArrayLike, confidence: float = 0.95, seed: int = 0
) -> RatioInterval:
    """The variance ratios σ²_treatment / σ²_reference that the centred permutation test does not reject.

    Two-sided, each side at (1 − confidence)/2: a ratio ρ is tested by `variance_ratio_permutation_test`
    after division of the treatment's deviations by √ρ. Up to 20,000 splits are enumerated, beyond as many
    are drawn with `seed`. An arm's direction being what it is, only the scale is varied, so a limit is found
    by bisection. ValueError when an arm has fewer than two values or no spread, or when even the smallest p
    value of so few values is above (1 − confidence)/2, so that no ratio would be rejected.
    """
    reference, treatment, spread_r, spread_t = varied_arms(reference, treatment)
    tail, count = (1 - confidence) / 2, math.comb(len(reference) + len(treatment), len(treatment))
    if count * tail < 1:
        raise ValueError(
            f"{len(reference)} and {len(treatment)} values are too few for a {100 * confidence:g} % "
            f"permutation interval of a variance ratio: no p value is below 1/{count}"
        )
    arms = [(side - side.mean()) / math.sqrt(spread) for side, spread in
            ((reference, spread_r), (treatment, spread_t))]  # fmt: skip
    above = _critical_log_ratio(arms[0], arms[1], tail, seed)
    below = _critical_log_ratio(arms[1], arms[0], tail, seed)
    ratio = spread_t / spread_r
    return RatioInterval(ratio, ratio * math.exp(-above), ratio * math.exp(below))


def _splits(n: int, chosen: int, seed: int) -> tuple[Splits, bool]:
    if math.comb(n, chosen) <= MAX_SPLITS:
        return all_splits(n, chosen), True
    return seeded_splits(n, chosen, MAX_SPLITS - 1, seed), False


def _critical_log_ratio(reference: Array, treatment: Array, alpha: float, seed: int) -> float:
    """Log of the smallest observed variance ratio that the one-sided test rejects at `alpha`.

    Both arms centred and of sample variance 1; what is varied is the scale of the treatment.
    """
    left, chosen = len(reference), len(treatment)
    splits, exact = _splits(left + chosen, chosen, seed)
    weights = splits.astype(np.float64)
    parts = ((weights[:, :left], reference), (weights[:, left:], treatment))
    (sum_r, square_r), (sum_t, square_t) = ((rows @ side, rows @ side**2) for rows, side in parts)

    def rejects(log_ratio: float) -> bool:
        ratio = math.exp(log_ratio)
        sums, squares = sum_r + math.sqrt(ratio) * sum_t, square_r + ratio * square_t
        total = (left - 1) + ratio * (chosen - 1)
        # All values sum to zero, so both sides of a split have sums of the same size.
        spread_t = (squares - sums**2 / chosen) / (chosen - 1)
        spread_r = (total - squares - sums**2 / left) / (left - 1)
        reached = int(np.count_nonzero(spread_t >= spread_r * ratio * (1 - TIE)))
        return (reached / len(splits) if exact else (reached + 1) / (len(splits) + 1)) <= alpha

    low, high = -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rejects(middle) else (middle, high)
    return high
