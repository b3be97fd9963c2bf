"""H2: off-task performance varies more over seeds."""

from dataclasses import replace

from rlvr.analysis.hypothesis import POOLED, Hypothesis, level_words, p_words, ratio_words
from rlvr.analysis.load import Study
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.power import permutation_detectable_variance_ratio
from rlvr.statistics.samples import Array
from rlvr.statistics.variance import (
    RatioInterval,
    brown_forsythe_one_sided,
    pooled_variance_ratio_interval,
    variance_ratio_interval,
    variance_ratio_permutation_test,
)
from rlvr.statistics.verdicts import holm, more_variable_verdict

F_INTERVAL = "F interval (normal theory)"
JACKKNIFE_INTERVAL = "Miller's jackknife over runs"


def compare_variances(
    claim: Hypothesis, reference: Array, treatment: Array, config: AnalysisConfig, tests: int = 1
) -> Hypothesis:
    """`claim` with effect, interval, permutation test and what it could detect, from (runs, tasks) values.

    `tests` is the size of the Holm family: detection is quoted at the level of its first step. ValueError
    with fewer than two runs in an arm.
    """
    found = variance_ratio_permutation_test(reference, treatment)
    pooled = reference.shape[1] > 1
    interval, missing = _interval(reference, treatment, config.confidence)
    runs, alpha = min(len(reference), len(treatment)), config.alpha / tests
    splits = f"{found.splits} splits, {'all' if found.exact else 'random'}"
    detectable = permutation_detectable_variance_ratio(runs, alpha)
    return replace(
        claim,
        effect=found.ratio,
        low=interval and interval.low,
        high=interval and interval.high,
        interval=JACKKNIFE_INTERVAL if pooled else F_INTERVAL,
        test=f"permutation of log variance ratio ({splits})",
        statistic=found.statistic,
        pvalue=found.pvalue,
        detectable=detectable,
        detectable_by=f"permutation test on one task, {runs} seeds, level {alpha:.3g}, normal data",
        beside=None if pooled else _brown_forsythe(reference[:, 0], treatment[:, 0]),
        reason=missing,
    )


def _interval(reference: Array, treatment: Array, confidence: float) -> tuple[RatioInterval | None, str]:
    """The ratio's interval, or None and what it lacks."""
    try:
        if reference.shape[1] > 1:
            return pooled_variance_ratio_interval(reference, treatment, confidence), ""
        return variance_ratio_interval(reference[:, 0], treatment[:, 0], confidence), ""
    except ValueError as error:
        return None, str(error)


def _brown_forsythe(reference: Array, treatment: Array) -> dict[str, object]:
    name = "Brown–Forsythe, one-sided"
    try:
        found = brown_forsythe_one_sided(reference, treatment)
    except ValueError as error:
        return {"test": name, "statistic": None, "pvalue": None, "reason": str(error)}
    return {"test": name, "statistic": found.statistic, "pvalue": found.pvalue, "reason": ""}


def judge_variances(claims: list[Hypothesis], config: AnalysisConfig, adjustment: str) -> list[Hypothesis]:
    """Verdicts of tested claims that form one Holm family."""
    adjusted = holm([claim.pvalue for claim in claims])
    return [
        replace(
            claim, pvalue_adjusted=p, adjustment=adjustment,
            verdict=more_variable_verdict(p, claim.high, config.h2_smallest_ratio, config.alpha),
        )
        for claim, p in zip(claims, adjusted, strict=True)
    ]  # fmt: skip


def interval_words(claim: Hypothesis) -> str:
    """`(95 % interval 0.1 to 0.9; p = 0.010)`, with the adjusted p if it was adjusted."""
    parts = []
    if claim.low is not None and claim.high is not None:
        level = level_words(claim.confidence or 0.95)
        parts.append(f"{level} interval {ratio_words(claim.low)} to {ratio_words(claim.high)}")
    if claim.pvalue_adjusted is not None:
        adjusted = "Holm-adjusted " if claim.adjustment.startswith("Holm") else ""
        parts.append(adjusted + p_words(claim.pvalue_adjusted))
    return f" ({'; '.join(parts)})" if parts else ""


def _sentence(claim: Hypothesis, config: AnalysisConfig, tasks: int) -> str:
    where = f"over {tasks} tasks (pooled)" if claim.task == POOLED else f"on {claim.task}"
    if claim.effect is None:
        return f"Off-task {where}: no comparison of {claim.arm} with {claim.reference}: {claim.reason}."
    ending = {
        "supported": f"{claim.arm} is more variable",
        "refuted": f"a ratio of {config.h2_smallest_ratio:g} or more is excluded",
        "inconclusive": "more variability is neither shown nor excluded",
    }[claim.verdict]
    return (
        f"Off-task {where}, the variance of ΔJ over seeds of {claim.arm} over that of {claim.reference} "
        f"is {ratio_words(claim.effect)}{interval_words(claim)}: {ending}{_need(claim)}."
    )


def _need(claim: Hypothesis) -> str:
    """What the test could have found, said where nothing was found."""
    if claim.verdict != "inconclusive":
        return ""
    test = "a test on a single task" if claim.task == POOLED else "this test"
    if claim.detectable is None:
        return f"; with so few seeds {test} would find no ratio with 80 % power, however large"
    return f"; {test} would find a ratio of {ratio_words(claim.detectable)} with 80 % power"


def off_task_variability(study: Study, config: AnalysisConfig, arm: str) -> list[Hypothesis]:
    """H2 for one arm: the pooled claim, which answers H2, then each off-task with Holm over the tasks."""
    counts = {"seeds_arm": len(study.seeds(arm)), "seeds_reference": len(study.seeds(study.reference))}
    pooled = Hypothesis(
        id="H2", part="off-task variability", arm=arm, reference=study.reference, task=POOLED, headline=True,
        effect_name="ratio of variances of ΔJ over seeds", confidence=config.confidence, **counts,
    )  # fmt: skip
    claims = [replace(pooled, task=task, headline=False) for task in study.off_tasks]
    try:
        if not study.off_tasks:
            raise ValueError("there is no off-task")
        values = [study.deltas(name, study.off_tasks) for name in (study.reference, arm)]
        pooled = judge_variances([compare_variances(pooled, *values, config)], config, "none")[0]
        tested = [
            compare_variances(claim, *(side[:, [column]] for side in values), config, tests=len(claims))
            for column, claim in enumerate(claims)
        ]
        claims = judge_variances(tested, config, f"Holm over {len(claims)} tasks")
    except ValueError as error:
        pooled, *claims = (replace(claim, reason=str(error)) for claim in (pooled, *claims))
    tasks = len(study.off_tasks)
    return [replace(claim, sentence=_sentence(claim, config, tasks)) for claim in (pooled, *claims)]
