"""One tested claim: its numbers, its verdict and one plain sentence."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rlvr.statistics.verdicts import Verdict

# What is equal where two arms are compared: the number of training steps, or the on-task progress.
Basis = Literal["steps", "progress"]
BASES: dict[Basis, str] = {"steps": "equal steps", "progress": "equal on-task progress"}

POOLED = "pooled"
# Ratios beyond this, or below its inverse, are not told apart.
LARGEST_RATIO_TOLD = 10_000
# The power at which `detectable` and needed numbers of seeds are quoted.
POWER = 0.8


class Untestable(ValueError):
    """Two arms cannot be tested: `reason` says why, and `change` what would allow a test, as a sentence."""

    def __init__(self, reason: str, change: str):
        super().__init__(reason)
        self.reason, self.change = reason, change


@dataclass(frozen=True)
class Hypothesis:
    """A claim about one arm against the reference.

    `id`: H1, H2 or H3. `part`: which part of the claim; `headline` marks the record that answers it whole.
    `task`: a task's name, or "pooled". `effect`, `low` and `high` are in the unit that `effect_name` says.
    `pvalue_adjusted` is adjusted as `adjustment` says. `power` is that of the test at the margin that
    matters: of an equivalence test if the truth is no difference, of the others at the smallest ratio of
    interest. `detectable` has 80 % power: the smallest margin (equivalence) or the smallest true ratio, as
    `detectable_by` says. Both take the spread as observed, and for a test pooled over tasks both are those of
    a single task, as a yardstick. `sampling_share_arm` and `_reference`: the share of the variance over seeds
    that is evaluation sampling (H2). `beside` holds a second test for comparison; no verdict rests on it.
    None means: not defined here, and `reason` says why where the verdict needed it. `basis` says whether the
    arms are compared after equally many steps or at equal on-task progress. `caveat`: what of the claim holds
    by construction there. `change`: what would change the verdict.
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
    sampling_share_arm: float | None = None
    sampling_share_reference: float | None = None
    beside: dict[str, Any] | None = None
    verdict: Verdict = "inconclusive"
    reason: str = ""
    sentence: str = ""
    change: str = ""
    basis: Basis = "steps"
    caveat: str = ""

    def record(self) -> dict[str, Any]:
        """As a JSON object; infinite numbers, which JSON lacks, become null."""
        return {key: _finite(value) for key, value in asdict(self).items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def given(value: float | None) -> float:
    """A number that is there: effect, interval and p-value of a claim that was tested."""
    assert value is not None, "the claim was not tested"
    return value


def p_words(pvalue: float) -> str:
    """`p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if pvalue < 0.001 else f"p = {pvalue:.3f}"


def ratio_words(ratio: float) -> str:
    """A ratio with two or three significant digits; where a number would pretend too much, its bound."""
    if ratio > LARGEST_RATIO_TOLD:
        return f"more than {LARGEST_RATIO_TOLD:,}"
    if ratio < 1 / LARGEST_RATIO_TOLD:
        return f"less than {1 / LARGEST_RATIO_TOLD:g}"
    if ratio >= 10:
        return f"{ratio:.0f}"
    return f"{ratio:.2f}" if ratio >= 1 else f"{ratio:.2g}"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a true minus among them."""
    return f"{value:+.{digits}f}".replace("-", "−")


def level_words(confidence: float) -> str:
    """`95 %`."""
    return f"{100 * confidence:g} %"


def share_words(share: float) -> str:
    """`40 %`."""
    return f"{100 * share:.0f} %"


def need_words(claim: Hypothesis) -> str:
    """What a test for a larger value could have found, said where nothing was found."""
    if claim.verdict != "inconclusive" or not claim.detectable_by:
        return ""
    test = "a test on a single task" if "single task" in claim.detectable_by else "this test"
    seeds = min(claim.seeds_arm, claim.seeds_reference)
    if claim.detectable is None:
        return f"; with {seeds} seeds {test} would see no ratio reliably (80 % power), however large"
    return (
        f"; with {seeds} seeds {test} could not have seen it reliably (80 % power) unless the true ratio "
        f"were above {ratio_words(claim.detectable)}"
    )


def margin_need_words(claim: Hypothesis, margin: float, words: Callable[[float], str]) -> str:
    """What a test of equivalence could have shown, said where nothing was and the margin was too small.

    `margin` is in the unit of `claim.detectable`, and `words` says such a number.
    """
    if claim.verdict != "inconclusive" or claim.detectable is None or claim.detectable <= margin:
        return ""
    seeds = min(claim.seeds_arm, claim.seeds_reference)
    return (
        f"; with {seeds} seeds this test could not have shown arms alike reliably (80 % power) unless the "
        f"margin were above {words(claim.detectable)}"
    )
