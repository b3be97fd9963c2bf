"""A success rate, its interval, and whether it lies in a target."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SuccessRate:
    """`passed` of `runs`, with the interval and the verdict that it allows."""

    runs: int
    passed: int
    rate: float
    low: float
    high: float
    verdict: Literal["inside", "outside", "undecided"]


def success_rate(runs: int, passed: int, confidence: float, target: tuple[float, float]) -> SuccessRate:
    """The rate with Wilson's interval (Wilson 1927), and how that interval lies to `target`.

    Inside or outside only if the whole interval is; else undecided. 4 of 15 is 26.7 %, in the middle of
    10-40 %, and its 95 % interval of 10.9-52.0 % leaves it undecided.
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = map(float, proportion_confint(passed, runs, alpha=1 - confidence, method="wilson"))
    if target[0] <= low and high <= target[1]:
        verdict: Literal["inside", "outside", "undecided"] = "inside"
    elif high < target[0] or low > target[1]:
        verdict = "outside"
    else:
        verdict = "undecided"
    return SuccessRate(runs, passed, passed / runs, low, high, verdict)
