"""One tested claim: its numbers, its verdict and one plain sentence."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from rlvr.statistics.verdicts import Verdict

POOLED = "pooled"


@dataclass(frozen=True)
class Hypothesis:
    """A claim about one arm against the reference.

    `id`: H1, H2 or H3. `part`: which part of the claim; `headline` marks the record that answers it whole.
    `task`: a task's name, or "pooled". `effect`, `low` and `high` are in the unit that `effect_name` says.
    `pvalue_adjusted` is adjusted as `adjustment` says. `power` is that of the test if the truth is no
    difference; `detectable` the smallest variance ratio that `detectable_by` finds at 80 % power.
    `beside` holds a second test for comparison; no verdict rests on it. None means: not defined here, and
    `reason` says why where the verdict needed it.
    """

    id: str
    part: str
    arm: str
    reference: str
    task: str
    headline: bool
    effect_name: str
    seeds_arm: int
    seeds_reference: int
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    interval: str = ""
    test: str = ""
    statistic: float | None = None
    pvalue: float | None = None
    pvalue_adjusted: float | None = None
    adjustment: str = ""
    power: float | None = None
    detectable: float | None = None
    detectable_by: str = ""
    beside: dict[str, Any] | None = None
    verdict: Verdict = "inconclusive"
    reason: str = ""
    sentence: str = ""

    def record(self) -> dict[str, Any]:
        """As a JSON object; infinite numbers, which JSON lacks, become null."""
        return {key: _finite(value) for key, value in asdict(self).items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def p_words(pvalue: float) -> str:
    """`p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if pvalue < 0.001 else f"p = {pvalue:.3f}"


def ratio_words(ratio: float) -> str:
    """A ratio with two or three significant digits, and infinity in words."""
    if math.isinf(ratio):
        return "beyond any number (the reference has no spread)"
    if ratio >= 10:
        return f"{ratio:.0f}"
    return f"{ratio:.2f}" if ratio >= 1 else f"{ratio:.2g}"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a true minus among them."""
    return f"{value:+.{digits}f}".replace("-", "−")


def level_words(confidence: float) -> str:
    """`95 %`."""
    return f"{100 * confidence:g} %"
