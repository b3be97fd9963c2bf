"""H1: on-task performance is insensitive to precision; and whether each arm gains at all."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rlvr.analysis.change import equivalence_change
from rlvr.analysis.hypothesis import (
    Hypothesis,
    Untestable,
    given,
    level_words,
    margin_need_words,
    p_words,
    signed,
)
from rlvr.analysis.load import Study, missing_words
from rlvr.analysis.spread import check_seeds
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.equivalence import EquivalenceResult, equivalence_test, mean_interval
from rlvr.statistics.power import equivalence_detectable_margin, equivalence_power
from rlvr.statistics.samples import POINTS, Array, rounding_variance
from rlvr.statistics.verdicts import equivalence_verdict

# Below this accuracy a task says little: a policy that answers nothing is alike in every arm.
NEAR_ZERO_ACCURACY = 0.02
# Under what the power of an equivalence test is quoted.
ALIKE = "TOST at the observed standard error, were the arms alike, normal data"
ENDINGS = {
    "supported": "equivalent within the margin",
    "refuted": "not equivalent, the whole interval lies beyond the margin",
    "inconclusive": "neither equivalence nor a difference beyond the margin is shown",
}


def near_zero(study: Study, task: str) -> bool:
    """Whether the base and every run score near zero on the task."""
    scored = [study.base, *study.runs]
    return all(policy.tasks[task].accuracy < NEAR_ZERO_ACCURACY for policy in scored)


def on_task_equivalence(study: Study, config: AnalysisConfig, arm: str) -> Hypothesis:
    """H1 for one arm by the equivalence rule on on-task ΔJ; the base is common to both and cancels."""
    a, b = (study.deltas(name, [study.on_task])[:, 0] for name in (study.reference, arm))
    claim = Hypothesis(
        id="H1", part="on-task equivalence", arm=arm, reference=study.reference, task=study.on_task,
        headline=True,
        effect_name="difference of ΔJ in points", seeds_arm=len(b), seeds_reference=len(a),
        effect=float(b.mean() - a.mean()), confidence=config.confidence,
        interval="Welch t interval over seeds", test="TOST (Welch)", adjustment="none",
    )  # fmt: skip
    margin = config.equivalence_margin_points
    try:
        check_seeds(study, (study.reference, arm))
        found = testable_equivalence(a, b, margin, config.confidence)
    except Untestable as lack:
        return _untested(claim, lack)
    verdict = equivalence_verdict(found.pvalue, found.low, found.high, margin, config.alpha)
    claim = replace(
        claim, low=found.low, high=found.high, statistic=found.statistic, pvalue=found.pvalue,
        pvalue_adjusted=found.pvalue, verdict=verdict,
        reason="all scores are near zero, so this says little" if near_zero(study, study.on_task) else "",
        power=equivalence_power(found.standard_error, found.degrees, margin, config.alpha),
        detectable=equivalence_detectable_margin(found.standard_error, found.degrees, config.alpha),
        detectable_by=f"smallest margin in points passed with 80 % power: {ALIKE}",
    )  # fmt: skip
    change = equivalence_change(claim, found, (a, b), config, points_words)
    return replace(claim, change=change, sentence=_sentence(claim, margin))


def points_words(points: float) -> str:
    """`2.0 points`."""
    return f"{points:.1f} points"


def testable_equivalence(a: Array, b: Array, margin: float, confidence: float) -> EquivalenceResult:
    """`equivalence_test`; Untestable where neither arm varies."""
    found = equivalence_test(a, b, margin, confidence)
    if found.standard_error == 0:
        raise Untestable(
            "no arm has any spread over seeds, so there is no error to test against",
            "Seeds over which at least one arm varies would allow a test.",
        )
    return found


def _sentence(claim: Hypothesis, margin: float) -> str:
    return (
        f"On-task ({claim.task}), the gain of {claim.arm} differs from that of {claim.reference} by "
        f"{signed(given(claim.effect))} points ({level_words(given(claim.confidence))} interval "
        f"{signed(given(claim.low))} to {signed(given(claim.high))}, margin ±{margin:g}, TOST "
        f"{p_words(given(claim.pvalue))}): "
        f"{ENDINGS[claim.verdict]}{margin_need_words(claim, margin, points_words)}"
        f"{claim.reason and '; ' + claim.reason}."
    )


def _untested(claim: Hypothesis, lack: Untestable) -> Hypothesis:
    sentence = (
        f"On-task ({claim.task}), the gain of {claim.arm} differs from that of {claim.reference} by "
        f"{signed(given(claim.effect))} points; no test: {lack.reason}."
    )
    return replace(claim, reason=lack.reason, sentence=sentence, change=lack.change)


def on_task_gain(study: Study, config: AnalysisConfig, arm: str) -> dict[str, Any]:
    """Whether an arm gains on-task: mean ΔJ in points, with an interval that includes the base's error."""
    deltas = study.deltas(arm, [study.on_task])[:, 0]
    base = study.base.tasks[study.on_task]
    gain: dict[str, Any] = {
        "arm": arm, "task": study.on_task, "seeds": len(deltas), "base_accuracy": base.accuracy,
        "mean": float(deltas.mean()), "sd": None, "low": None, "high": None, "low_with_base": None,
        "high_with_base": None, "confidence": config.confidence, "near_zero": near_zero(study, study.on_task),
        "gains": "unclear",
    }  # fmt: skip
    told = f"{arm}: {signed(deltas.mean())} points on {study.on_task}"
    if len(deltas) < 2:
        told += "; one seed gives no interval."
    else:
        gain |= _gain_intervals(deltas, base.accuracy_se_sampling, config.confidence)
        told += _gain_words(gain, base.accuracy_se_sampling is not None)
    lost = missing_words(study, arm)
    return gain | {"sentence": f"{told} {lost}." if lost else told}


def _gain_intervals(deltas: Array, base_error: float | None, confidence: float) -> dict[str, Any]:
    """The intervals of mean ΔJ, with the base's error (a share) where it is known, and what they say.

    Seeds without any spread show nothing of what other seeds would do: no interval, and no answer.
    """
    seeds = mean_interval(deltas, confidence)
    if seeds.sd**2 <= rounding_variance(deltas):
        return {"sd": 0.0}
    gain = {"sd": seeds.sd, "low": seeds.low, "high": seeds.high}
    whole = seeds
    if base_error is not None:
        whole = mean_interval(deltas, confidence, POINTS * base_error)
        gain |= {"low_with_base": whole.low, "high_with_base": whole.high}
    return gain | {"gains": "yes" if whole.low > 0 else "no" if whole.high <= 0 else "unclear"}


def _gain_words(gain: Mapping[str, Any], base_known: bool) -> str:
    if gain["low"] is None:
        return "; the seeds do not differ, so there is no interval, and a gain is not shown."
    words = {"yes": "a gain", "no": "no gain", "unclear": "a gain is not shown"}[gain["gains"]]
    low, high = (gain[f"{end}_with_base" if base_known else end] for end in ("low", "high"))
    known = "included" if base_known else "unknown"
    return (
        f" ({level_words(gain['confidence'])} interval {signed(low)} to {signed(high)}, the base's sampling "
        f"error {known}): {words}."
    )
