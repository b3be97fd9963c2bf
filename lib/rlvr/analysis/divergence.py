"""H3: KL to the base is alike on-task, and off-task larger or more variable."""

import math
from dataclasses import replace

import numpy as np

from rlvr.analysis.hypothesis import POOLED, Hypothesis, level_words, p_words, ratio_words
from rlvr.analysis.load import Study
from rlvr.analysis.performance import ENDINGS
from rlvr.analysis.variability import compare_variances, interval_words
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.equivalence import equivalence_test, welch_greater
from rlvr.statistics.power import equivalence_power
from rlvr.statistics.samples import Array
from rlvr.statistics.verdicts import (
    agreeing_verdict,
    either_verdict,
    equivalence_verdict,
    holm,
    more_variable_verdict,
)

HOLM = "Holm over 2 (larger, more variable)"


def _log_kl(study: Study, arm: str, tasks: tuple[str, ...]) -> Array:
    """Log of KL, shape (seeds, tasks); ValueError where a KL is not above zero."""
    kl = study.kl(arm, tasks)
    if (kl <= 0).any():
        raise ValueError(f"a KL of {arm} to the base is not above 0, so it has no logarithm")
    return np.log(kl)


def _on_task(study: Study, config: AnalysisConfig, claim: Hypothesis) -> Hypothesis:
    """The equivalence rule on log KL; effect and interval are ratios of geometric means."""
    claim = replace(
        claim, part="on-task KL alike", task=study.on_task,
        effect_name="ratio of KL (geometric means over seeds)",
        interval="Welch t interval of log KL over seeds", test="TOST (Welch) on log KL", adjustment="none",
    )  # fmt: skip
    margin = math.log(config.kl_equivalence_ratio)
    try:
        a, b = (_log_kl(study, arm, (study.on_task,))[:, 0] for arm in (study.reference, claim.arm))
        found = equivalence_test(a, b, margin, config.confidence)
        if found.standard_error == 0:
            raise ValueError("no arm has any spread over seeds, so there is no error to test against")
    except ValueError as error:
        return replace(claim, reason=str(error), sentence=f"On-task KL ({claim.task}): no test: {error}.")
    verdict = equivalence_verdict(found.pvalue, found.low, found.high, margin, config.alpha)
    ratio, low, high = (math.exp(value) for value in (found.difference, found.low, found.high))
    sentence = (
        f"On-task ({claim.task}), KL to the base of {claim.arm} over that of {claim.reference} is "
        f"{ratio_words(ratio)} ({level_words(config.confidence)} interval {ratio_words(low)} to "
        f"{ratio_words(high)}, margin a factor of {config.kl_equivalence_ratio:g}, TOST "
        f"{p_words(found.pvalue)}): {ENDINGS[verdict]}."
    )
    return replace(
        claim, effect=ratio, low=low, high=high, statistic=found.statistic, pvalue=found.pvalue,
        pvalue_adjusted=found.pvalue, verdict=verdict, sentence=sentence,
        power=equivalence_power(found.standard_error, found.degrees, margin, config.alpha),
    )  # fmt: skip


def _larger(claim: Hypothesis, reference: Array, treatment: Array, config: AnalysisConfig) -> Hypothesis:
    """Untouched by Holm yet: is mean log KL over the off-tasks larger? One value per run."""
    a, b = reference.mean(axis=1), treatment.mean(axis=1)
    found = welch_greater(a, b)
    spread = equivalence_test(a, b, margin=1.0, confidence=config.confidence)
    ratio, low, high = (math.exp(value) for value in (spread.difference, spread.low, spread.high))
    return replace(
        claim, part="off-task KL larger", effect_name="ratio of KL (geometric means over tasks and seeds)",
        effect=ratio, low=low, high=high, interval="Welch t interval of log KL over seeds",
        test="Welch t on log KL, one-sided", statistic=found.statistic, pvalue=found.pvalue,
    )  # fmt: skip


def _off_task_sentence(claim: Hypothesis, limit: float) -> str:
    what = "KL to the base" if claim.part == "off-task KL larger" else "the variance of log KL over seeds"
    adjective = "larger" if claim.part == "off-task KL larger" else "more variable"
    ending = {
        "supported": f"{adjective} in {claim.arm}",
        "refuted": f"a ratio of {limit:g} or more is excluded",
        "inconclusive": f"{adjective} is neither shown nor excluded",
    }[claim.verdict]
    return (
        f"Off-task (pooled), {what} of {claim.arm} over that of {claim.reference} is "
        f"{ratio_words(claim.effect)}{interval_words(claim)}: {ending}."
    )


def _off_task(study: Study, config: AnalysisConfig, claim: Hypothesis) -> list[Hypothesis]:
    """The parts "larger" and "more variable", Holm over the two."""
    claim = replace(claim, task=POOLED, adjustment=HOLM)
    larger = replace(claim, part="off-task KL larger")
    variable = replace(
        claim, part="off-task KL more variable", effect_name="ratio of variances of log KL over seeds"
    )
    try:
        if not study.off_tasks:
            raise ValueError("there is no off-task")
        values = [_log_kl(study, arm, study.off_tasks) for arm in (study.reference, claim.arm)]
        larger = _larger(larger, *values, config)
        variable = compare_variances(variable, *values, config, tests=2)
    except ValueError as error:
        sentence = f"Off-task KL: no test: {error}."
        return [replace(part, reason=str(error), sentence=sentence) for part in (larger, variable)]
    limits = (config.kl_equivalence_ratio, config.h2_smallest_ratio)
    pvalues = holm([larger.pvalue, variable.pvalue])
    judged = [
        replace(
            part, pvalue_adjusted=p, verdict=more_variable_verdict(p, part.high, limit, config.alpha)
        )
        for part, p, limit in zip((larger, variable), pvalues, limits, strict=True)
    ]  # fmt: skip
    return [
        replace(part, sentence=_off_task_sentence(part, limit))
        for part, limit in zip(judged, limits, strict=True)
    ]


def divergence(study: Study, config: AnalysisConfig, arm: str) -> list[Hypothesis]:
    """H3 for one arm: the claim as a whole, its on-task part and the two off-task parts.

    As a whole it has the verdict on which both parts agree, and is inconclusive where they do not.
    """
    claim = Hypothesis(
        id="H3", part="KL on-task and off-task", arm=arm, reference=study.reference, task="all",
        headline=True, effect_name="", confidence=config.confidence, seeds_arm=len(study.seeds(arm)),
        seeds_reference=len(study.seeds(study.reference)),
    )  # fmt: skip
    part = replace(claim, headline=False)
    on_task, off_task = _on_task(study, config, part), _off_task(study, config, part)
    off_verdict = either_verdict([half.verdict for half in off_task])
    verdict = agreeing_verdict([on_task.verdict, off_verdict])
    reason = (
        "" if verdict == on_task.verdict == off_verdict else "the on-task and the off-task part do not agree"
    )
    sentence = (
        f"KL of {arm} alike to {study.reference} on-task: {on_task.verdict}; larger or more variable "
        f"off-task: {off_verdict}."
    )
    return [replace(claim, verdict=verdict, reason=reason, sentence=sentence), on_task, *off_task]
