"""From numbers to verdicts: the decision rules, fixed before data."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Verdict = Literal["supported", "refuted", "inconclusive"]


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (Holm 1979), in the order given."""
    values = np.asarray(pvalues, dtype=np.float64)
    order = values.argsort(kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def equivalence_verdict(pvalue: float, low: float, high: float, margin: float, alpha: float) -> Verdict:
    """Supported if TOST rejects at `alpha`; refuted if [low, high] lies wholly outside ±margin."""
    if pvalue <= alpha:
        return "supported"
    return "refuted" if low > margin or high < -margin else "inconclusive"


def more_variable_verdict(
    adjusted_pvalue: float, upper_ratio: float | None, smallest_ratio: float, alpha: float
) -> Verdict:
    """Supported if the adjusted p is at most `alpha`; refuted if the ratio's upper limit is below the
    smallest.

    `upper_ratio` is None where the ratio has no interval; then nothing is refuted.
    """
    if adjusted_pvalue <= alpha:
        return "supported"
    return "refuted" if upper_ratio is not None and upper_ratio < smallest_ratio else "inconclusive"


def either_verdict(parts: Sequence[Verdict]) -> Verdict:
    """An "or" of parts: one supported part is enough, and all must be refuted to refute it."""
    if "supported" in parts:
        return "supported"
    return "refuted" if parts and all(part == "refuted" for part in parts) else "inconclusive"


def agreeing_verdict(parts: Sequence[Verdict]) -> Verdict:
    """The verdict that all parts share, else inconclusive."""
    return parts[0] if parts and len(set(parts)) == 1 else "inconclusive"
