"""H3: KL to the base is alike on-task, and off-task larger or more variable."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rlvr.analysis.change import equivalence_change, larger_change, more_variable_change
from rlvr.analysis.divergence_words import (
    LARGER,
    MORE_VARIABLE,
    ON_TASK,
    WHOLE,
    agreement_words,
    factor_words,
    off_task_words,
    on_task_words,
    whole_change,
)
from rlvr.analysis.hypothesis import (
    POOLED,
    Hypothesis,
    Untestable,
    given,
    level_words,
    margin_need_words,
    need_words,
    p_words,
    ratio_words,
)
from rlvr.analysis.load import Study
from rlvr.analysis.performance import ALIKE, ENDINGS, testable_equivalence
from rlvr.analysis.spread import check_seeds, varied
from rlvr.analysis.variability import compare_variances, interval_words, tasks_words
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.equivalence import welch_greater
from rlvr.statistics.power import (
    equivalence_detectable_margin,
    equivalence_power,
    greater_detectable_difference,
    greater_power,
)
from rlvr.statistics.samples import Array
from rlvr.statistics.verdicts import (
    agreeing_verdict,
    either_verdict,
    equivalence_verdict,
    holm,
    more_variable_verdict,
)

# The off-task part is tested twice, and either half is enough for it.
HALVES = 2
HOLM = "Holm over 2 (larger, more variable)"


def _log_kl(study: Study, arm: str, tasks: tuple[str, ...]) -> Array:
    """Log of KL, shape (seeds, tasks); Untestable where a KL was not measured or is not above zero."""
    try:
        kl = study.kl(arm, tasks)
    except ValueError as error:
        raise Untestable(str(error), "Measuring that KL would allow a test.") from error
    if (kl <= 0).any():
        reason = f"a KL of {arm} to the base is not above 0, so it has no logarithm"
        raise Untestable(reason, "Runs that move away from the base would allow a test.")
    return np.log(kl)


def _on_task(study: Study, config: AnalysisConfig, claim: Hypothesis) -> Hypothesis:
    """The equivalence rule on log KL; effect and interval are ratios of geometric means."""
    claim = replace(
        claim, part=ON_TASK, task=study.on_task, effect_name="ratio of KL (geometric means over seeds)",
        interval="Welch t interval of log KL over seeds", test="TOST (Welch) on log KL", adjustment="none",
    )  # fmt: skip
    margin = math.log(config.kl_equivalence_ratio)
    try:
        check_seeds(study, (study.reference, claim.arm))
        reference, treatment = (
            _log_kl(study, arm, (study.on_task,))[:, 0] for arm in (study.reference, claim.arm)
        )
        found = testable_equivalence(reference, treatment, margin, config.confidence)
    except Untestable as lack:
        sentence = f"On-task ({claim.task}), KL to the base: no test: {lack.reason}."
        return replace(claim, reason=lack.reason, sentence=sentence, change=lack.change)
    claim = replace(
        claim, effect=math.exp(found.difference), low=math.exp(found.low), high=math.exp(found.high),
        statistic=found.statistic, pvalue=found.pvalue, pvalue_adjusted=found.pvalue,
        verdict=equivalence_verdict(found.pvalue, found.low, found.high, margin, config.alpha),
        power=equivalence_power(found.standard_error, found.degrees, margin, config.alpha),
        detectable=math.exp(equivalence_detectable_margin(found.standard_error, found.degrees, config.alpha)),
        detectable_by=f"smallest margin (a factor) passed with 80 % power: {ALIKE}",
    )  # fmt: skip
    need = margin_need_words(claim, config.kl_equivalence_ratio, factor_words)
    sentence = (
        f"On-task ({claim.task}), KL of {claim.arm} to the base is {ratio_words(given(claim.effect))} times "
        f"that of {claim.reference} ({level_words(config.confidence)} interval "
        f"{ratio_words(given(claim.low))} to {ratio_words(given(claim.high))}, margin a factor of "
        f"{config.kl_equivalence_ratio:g}, TOST {p_words(found.pvalue)}): {ENDINGS[claim.verdict]}{need}."
    )
    arms = reference, treatment
    change = equivalence_change(claim, found, arms, config, lambda log: factor_words(math.exp(log)))
    return replace(claim, sentence=sentence, change=change)


def _larger(claim: Hypothesis, reference: Array, treatment: Array, config: AnalysisConfig) -> Hypothesis:
    """Untouched by Holm yet: is mean log KL over the off-tasks larger? One value per run."""
    a, b = reference.mean(axis=1), treatment.mean(axis=1)
    margin, level = math.log(config.kl_equivalence_ratio), config.alpha / HALVES
    spread = testable_equivalence(a, b, margin, config.confidence)
    error, degrees = spread.standard_error, spread.degrees
    found = welch_greater(a, b)
    return replace(
        claim, effect=math.exp(spread.difference), low=math.exp(spread.low), high=math.exp(spread.high),
        interval="Welch t interval of log KL over seeds", test="Welch t on log KL, one-sided",
        statistic=found.statistic, pvalue=found.pvalue, power=greater_power(error, degrees, margin, level),
        detectable=math.exp(greater_detectable_difference(error, degrees, level)),
        detectable_by=(
            f"smallest ratio of KL found with 80 % power: Welch t at the observed standard error, level "
            f"{level:.3g}, normal data"
        ),
    )  # fmt: skip


def _more_variable(
    claim: Hypothesis, values: tuple[Array, Array], tasks: Sequence[str], config: AnalysisConfig
) -> Hypothesis:
    """Untouched by Holm yet: do log KLs vary more, on the off-tasks on which both arms vary?"""
    vary = np.logical_and(*varied(*values))
    if not vary.any():
        raise Untestable(
            "there is no off-task on which KL varies over the seeds of both arms",
            "Seeds over which both arms vary would allow a test.",
        )
    out = [f"{task} (no spread in an arm)" for task, varies in zip(tasks, vary, strict=True) if not varies]
    reference, treatment = (side[:, vary] for side in values)
    claim = compare_variances(claim, reference, treatment, config, tests=HALVES)
    told = [claim.reason] if claim.reason else []
    return replace(claim, reason="; ".join([*told, *([f"left out: {', '.join(out)}"] if out else [])]))


def _off_task_sentence(claim: Hypothesis, limit: float, tasks: int) -> str:
    if claim.part == LARGER:
        what, of, adjective = f"mean over {tasks_words(tasks)}", f"KL of {claim.arm} to the base", "larger"
    else:
        what = f"pooled over {tasks_words(tasks)}"
        of, adjective = f"the variance over seeds of log KL of {claim.arm}", "more variable"
    ending = {
        "supported": f"KL is {adjective} in {claim.arm}",
        "refuted": f"a ratio of {limit:g} or more is excluded",
        "inconclusive": f"that KL is {adjective} is neither shown nor excluded",
    }[claim.verdict]
    return (
        f"Off-task ({what}), {of} is {ratio_words(given(claim.effect))} times that of {claim.reference}"
        f"{interval_words(claim)}: {ending}{need_words(claim)}{claim.reason and '; ' + claim.reason}."
    )


def _off_task(study: Study, config: AnalysisConfig, claim: Hypothesis) -> list[Hypothesis]:
    """The parts "larger" and "more variable", Holm over the two."""
    claim = replace(claim, task=POOLED, adjustment=HOLM)
    larger = replace(claim, part=LARGER, effect_name="ratio of KL (geometric means over tasks and seeds)")
    variable = replace(claim, part=MORE_VARIABLE, effect_name="ratio of variances of log KL over seeds")
    try:
        if not study.off_tasks:
            raise Untestable("there is no off-task", "An off-task in a suite would allow a test.")
        check_seeds(study, (study.reference, claim.arm))
        values = (
            _log_kl(study, study.reference, study.off_tasks),
            _log_kl(study, claim.arm, study.off_tasks),
        )
        tested = (
            _larger(larger, *values, config),
            _more_variable(variable, values, study.off_tasks, config),
        )
    except Untestable as lack:
        sentence = f"Off-task, KL to the base: no test: {lack.reason}."
        return [
            replace(part, reason=lack.reason, sentence=sentence, change=lack.change)
            for part in (larger, variable)
        ]
    return _judge_halves(*tested, values, config)


def _judge_halves(
    larger: Hypothesis, variable: Hypothesis, values: tuple[Array, Array], config: AnalysisConfig
) -> list[Hypothesis]:
    """Both halves with verdict, sentence and change; `values` are log KLs (seeds, tasks) of the two arms."""
    limits = (config.kl_equivalence_ratio, config.h2_smallest_ratio)
    adjusted = holm([given(larger.pvalue), given(variable.pvalue)])
    larger, variable = (
        replace(half, pvalue_adjusted=p, verdict=more_variable_verdict(p, half.high, limit, config.alpha))
        for half, p, limit in zip((larger, variable), adjusted, limits, strict=True)
    )
    means = tuple(side.mean(axis=1) for side in values)
    changes = (
        larger_change(larger, means, limits[0], config.alpha, HALVES),
        more_variable_change(variable, limits[1], config.alpha, HALVES),
    )
    counts = (values[0].shape[1], int(np.logical_and(*varied(*values)).sum()))
    return [
        replace(half, sentence=_off_task_sentence(half, limit, count), change=change)
        for half, limit, count, change in zip((larger, variable), limits, counts, changes, strict=True)
    ]


def divergence(study: Study, config: AnalysisConfig, arm: str) -> list[Hypothesis]:
    """H3 for one arm: the claim as a whole, its on-task part and the two off-task parts.

    As a whole it has the verdict on which both parts agree, and is inconclusive where they do not.
    """
    claim = Hypothesis(
        id="H3", part=WHOLE, arm=arm, reference=study.reference, task="all", headline=True, effect_name="",
        confidence=config.confidence, seeds_arm=len(study.seeds(arm)),
        seeds_reference=len(study.seeds(study.reference)),
    )  # fmt: skip
    part = replace(claim, headline=False)
    on_task, off_task = _on_task(study, config, part), _off_task(study, config, part)
    off_verdict = either_verdict([half.verdict for half in off_task])
    agree = on_task.verdict == off_verdict
    sentences = (
        on_task_words(on_task, config),
        off_task_words(off_task, off_verdict),
        agreement_words(on_task.verdict, off_verdict),
    )
    whole = replace(
        claim,
        verdict=agreeing_verdict([on_task.verdict, off_verdict]),
        reason="" if agree else "the on-task and the off-task part do not agree",
        sentence=" ".join(sentences),
        change=whole_change(on_task, off_task, off_verdict),
    )
    return [whole, on_task, *off_task]
