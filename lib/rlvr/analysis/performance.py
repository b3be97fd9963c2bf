"""H1: on-task performance is insensitive to precision; and whether each arm gains at all."""

from dataclasses import replace
from typing import Any

from rlvr.analysis.hypothesis import Hypothesis, level_words, p_words, signed
from rlvr.analysis.load import POINTS, Study
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.equivalence import equivalence_test, mean_interval
from rlvr.statistics.power import equivalence_power
from rlvr.statistics.verdicts import equivalence_verdict

# Below this accuracy a task says little: a policy that answers nothing is alike in every arm.
NEAR_ZERO_ACCURACY = 0.02
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
        found = equivalence_test(a, b, margin, config.confidence)
    except ValueError as error:
        return _untested(claim, str(error))
    if found.standard_error == 0:
        return _untested(claim, "no arm has any spread over seeds, so there is no error to test against")
    verdict = equivalence_verdict(found.pvalue, found.low, found.high, margin, config.alpha)
    reason = "all scores are near zero, so this says little" if near_zero(study, study.on_task) else ""
    sentence = (
        f"On-task ({study.on_task}), the gain of {arm} differs from that of {study.reference} by "
        f"{signed(found.difference)} points ({level_words(config.confidence)} interval "
        f"{signed(found.low)} to {signed(found.high)}, margin ±{margin:g}, TOST {p_words(found.pvalue)}): "
        f"{ENDINGS[verdict]}{'; ' + reason if reason else ''}."
    )
    return replace(
        claim, low=found.low, high=found.high, statistic=found.statistic, pvalue=found.pvalue,
        pvalue_adjusted=found.pvalue, verdict=verdict, reason=reason, sentence=sentence,
        power=equivalence_power(found.standard_error, found.degrees, margin, config.alpha),
    )  # fmt: skip


def _untested(claim: Hypothesis, reason: str) -> Hypothesis:
    sentence = (
        f"On-task ({claim.task}), the gain of {claim.arm} differs from that of {claim.reference} by "
        f"{signed(claim.effect)} points; no test: {reason}."
    )
    return replace(claim, reason=reason, sentence=sentence)


def on_task_gain(study: Study, config: AnalysisConfig, arm: str) -> dict[str, Any]:
    """Whether an arm gains on-task: mean ΔJ in points, with an interval that includes the base's error."""
    deltas = study.deltas(arm, [study.on_task])[:, 0]
    base = study.base.tasks[study.on_task]
    error = POINTS * (base.accuracy_se_sampling or 0.0)
    gain: dict[str, Any] = {
        "arm": arm, "task": study.on_task, "seeds": len(deltas), "base_accuracy": base.accuracy,
        "mean": float(deltas.mean()), "sd": None, "low": None, "high": None, "low_with_base": None,
        "high_with_base": None, "confidence": config.confidence, "near_zero": near_zero(study, study.on_task),
        "gains": "unclear",
    }  # fmt: skip
    if len(deltas) < 2:
        gain["sentence"] = (
            f"{arm}: {signed(deltas.mean())} points on {study.on_task}; one seed gives no interval."
        )
        return gain
    seeds = mean_interval(deltas, config.confidence)
    both = mean_interval(deltas, config.confidence, error)
    gains = "yes" if both.low > 0 else "no" if both.high <= 0 else "unclear"
    words = {"yes": "a gain", "no": "no gain", "unclear": "a gain is not shown"}[gains]
    gain |= {
        "sd": seeds.sd, "low": seeds.low, "high": seeds.high, "low_with_base": both.low,
        "high_with_base": both.high, "gains": gains,
    }  # fmt: skip
    known = "unknown" if base.accuracy_se_sampling is None else "included"
    gain["sentence"] = (
        f"{arm}: {signed(both.mean)} points on {study.on_task} ({level_words(config.confidence)} interval "
        f"{signed(both.low)} to {signed(both.high)}, the base's sampling error {known}): {words}."
    )
    return gain
