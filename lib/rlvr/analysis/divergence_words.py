"""H3 in words: what its parts found, whether they agree, and what would decide them."""

from collections.abc import Sequence

from rlvr.analysis.hypothesis import Hypothesis, margin_need_words, need_words, ratio_words
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.verdicts import Verdict

WHOLE, ON_TASK = "KL on-task and off-task", "on-task KL alike"
LARGER, MORE_VARIABLE = "off-task KL larger", "off-task KL more variable"
# What a part asks, in prose.
ASKS = {
    ON_TASK: "whether KL is alike on-task",
    LARGER: "whether KL is larger off-task",
    MORE_VARIABLE: "whether KL varies more off-task",
}


def factor_words(factor: float) -> str:
    """`a factor of 1.25`."""
    return f"a factor of {factor:.2f}"


def whole_change(on_task: Hypothesis, off_task: list[Hypothesis], off_verdict: Verdict) -> str:
    """What would decide the undecided part; where both are decided, each part's own."""
    if on_task.verdict == "inconclusive":
        told = [on_task]
    elif off_verdict == "inconclusive":
        told = [_open_half(off_task)]
    else:
        nearest = min(off_task, key=lambda half: 1.0 if half.pvalue is None else half.pvalue)
        told = [on_task, nearest]
    return " ".join(f"As to {ASKS[part.part]}: {_lower(part.change)}" for part in told)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def on_task_words(claim: Hypothesis, config: AnalysisConfig) -> str:
    """What the on-task part found, in a sentence."""
    if claim.effect is None:
        return f"On-task, KL to the base cannot be tested: {claim.reason}."
    ending = {
        "supported": "alike within",
        "refuted": "further apart than",
        "inconclusive": "neither shown to be alike within nor to be further apart than",
    }[claim.verdict]
    return (
        f"On-task, KL of {claim.arm} to the base is {ratio_words(claim.effect)} times that of "
        f"{claim.reference}, {ending} a factor of {config.kl_equivalence_ratio:g}"
        f"{margin_need_words(claim, config.kl_equivalence_ratio, factor_words)}."
    )


def _open_half(halves: Sequence[Hypothesis]) -> Hypothesis:
    """The undecided half with the smallest p, else the decided one with it."""

    def order(half: Hypothesis) -> tuple[bool, float]:
        return half.verdict != "inconclusive", 1.0 if half.pvalue is None else half.pvalue

    return min(halves, key=order)


def _open_need(halves: Sequence[Hypothesis]) -> str:
    """What the test of the undecided half could have seen."""
    half = _open_half(halves)
    need = need_words(half).removeprefix("; ")
    return need and f"; as to its {'size' if half.part == LARGER else 'variance'}, {need}"


def off_task_words(halves: Sequence[Hypothesis], verdict: Verdict) -> str:
    """What the off-task part found, of which `verdict` is that of either half (larger, more variable)."""
    larger, variable = halves
    if larger.effect is None or variable.effect is None:
        return f"Off-task, KL to the base cannot be tested: {larger.reason}."
    shown = " and ".join(
        words
        for words, half in (("larger", larger), ("more variable", variable))
        if half.verdict == "supported"
    )
    ending = {
        "supported": f"it is {shown}",
        "refuted": "it is neither larger nor more variable by a ratio that matters",
        "inconclusive": "that it is larger or more variable is neither shown nor excluded"
        + _open_need(halves),
    }[verdict]
    return (
        f"Off-task, KL is {ratio_words(larger.effect)} times as large and its variance over seeds "
        f"{ratio_words(variable.effect)} times as large: {ending}."
    )


def agreement_words(on_task: Verdict, off_task: Verdict) -> str:
    """Which of the two parts hold, in a sentence."""
    if on_task == off_task:
        return {
            "supported": "Both parts of the claim hold.",
            "refuted": "Neither part of the claim holds.",
            "inconclusive": "Neither part of the claim is decided.",
        }[on_task]
    if "inconclusive" in (on_task, off_task):
        return "One part of the claim is undecided."
    holds = "on-task" if on_task == "supported" else "off-task"
    return f"Only the {holds} part of the claim holds."
