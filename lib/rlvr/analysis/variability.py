"""H2: off-task performance varies more over seeds."""

from collections.abc import Sequence
from dataclasses import replace

from rlvr.analysis.change import more_variable_change
from rlvr.analysis.hypothesis import (
    POOLED,
    Hypothesis,
    Untestable,
    given,
    level_words,
    need_words,
    p_words,
    ratio_words,
    share_words,
)
from rlvr.analysis.load import Study
from rlvr.analysis.spread import LeftOut, check_seeds, left_out, sampling_share
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.power import permutation_detectable_variance_ratio, variance_test_power
from rlvr.statistics.ratio_interval import permutation_variance_ratio_interval
from rlvr.statistics.samples import Array
from rlvr.statistics.variance import (
    RatioInterval,
    brown_forsythe_one_sided,
    pooled_variance_ratio_interval,
    variance_ratio_permutation_test,
)
from rlvr.statistics.verdicts import holm, more_variable_verdict

PERMUTATION_INTERVAL = "permutation test, inverted"
JACKKNIFE_INTERVAL = "Miller's jackknife over runs"
# Evaluation sampling is a variance that both arms have in common, so it pulls their ratio to 1. Beyond this
# share in either arm a ratio near 1 says nothing about the policies.
LARGEST_SAMPLING_SHARE = 0.5


def compare_variances(
    claim: Hypothesis, reference: Array, treatment: Array, config: AnalysisConfig, tests: int = 1
) -> Hypothesis:
    """`claim` with effect, interval, permutation test and what it could detect, from (runs, tasks) values.

    Test, effect and interval rest on the same tasks: those given, which must vary in both arms. `tests` is
    the size of the Holm family: power is quoted at the level of its first step. ValueError with fewer than
    two runs in an arm.
    """
    found = variance_ratio_permutation_test(reference, treatment)
    pooled = reference.shape[1] > 1
    interval, missing = _interval(reference, treatment, config.confidence)
    runs, alpha = min(len(reference), len(treatment)), config.alpha / tests
    splits = f"{found.splits} splits, {'all' if found.exact else 'random'}"
    yardstick = " on a single task (a yardstick for the pooled test)" if pooled else ""
    return replace(
        claim,
        effect=found.ratio,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        interval=JACKKNIFE_INTERVAL if pooled else PERMUTATION_INTERVAL,
        test=f"permutation of log variance ratio ({splits})",
        statistic=found.statistic,
        pvalue=found.pvalue,
        power=variance_test_power(runs, config.h2_smallest_ratio, alpha),
        detectable=permutation_detectable_variance_ratio(runs, alpha),
        detectable_by=(
            f"smallest variance ratio found with 80 % power: permutation test{yardstick}, {runs} seeds, "
            f"level {alpha:.3g}, normal data"
        ),
        beside=None if pooled else _brown_forsythe(reference[:, 0], treatment[:, 0]),
        reason=missing,
    )


def _interval(reference: Array, treatment: Array, confidence: float) -> tuple[RatioInterval | None, str]:
    """The ratio's interval, or None and what it lacks."""
    try:
        if reference.shape[1] > 1:
            return pooled_variance_ratio_interval(reference, treatment, confidence), ""
        return permutation_variance_ratio_interval(reference[:, 0], treatment[:, 0], confidence), ""
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
    adjusted = holm([given(claim.pvalue) for claim in claims])
    return [
        _without_common_noise(replace(
            claim, pvalue_adjusted=p, adjustment=adjustment,
            verdict=more_variable_verdict(p, claim.high, config.h2_smallest_ratio, config.alpha),
        ))
        for claim, p in zip(claims, adjusted, strict=True)
    ]  # fmt: skip


def _without_common_noise(claim: Hypothesis) -> Hypothesis:
    """The claim, inconclusive instead of refuted where evaluation sampling may hide a ratio above 1."""
    shares = {claim.reference: claim.sampling_share_reference, claim.arm: claim.sampling_share_arm}
    noisy = [arm for arm, share in shares.items() if share is None or share > LARGEST_SAMPLING_SHARE]
    if claim.verdict != "refuted" or not noisy:
        return claim
    reason = "evaluation sampling, common to both arms, pulls the ratio to 1, and it makes up "
    if None in shares.values():
        reason += "an unknown share of the variance (one sample per problem)"
    else:
        reason += f"more than half of the variance in {' and '.join(noisy)}"
    return replace(claim, verdict="inconclusive", reason=reason)


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


def tasks_words(count: int) -> str:
    """`1 task`, `5 tasks`."""
    return f"{count} task{'s' if count != 1 else ''}"


def _shares_words(claim: Hypothesis) -> str:
    if claim.sampling_share_arm is None or claim.sampling_share_reference is None:
        return ""
    return (
        f"; evaluation sampling makes up {share_words(claim.sampling_share_reference)} of the variance in "
        f"{claim.reference}, {share_words(claim.sampling_share_arm)} in {claim.arm}"
    )


def _sentence(claim: Hypothesis, config: AnalysisConfig, tasks: int) -> str:
    where = f"over {tasks_words(tasks)} (pooled)" if claim.task == POOLED else f"on {claim.task}"
    ending = {
        "supported": f"{claim.arm} is more variable",
        "refuted": f"a ratio of {config.h2_smallest_ratio:g} or more is excluded",
        "inconclusive": "more variability is neither shown nor excluded",
    }[claim.verdict]
    reason = f"; {claim.reason}" if claim.reason else ""
    return (
        f"Off-task {where}, the variance of measured ΔJ over seeds of {claim.arm} is "
        f"{ratio_words(given(claim.effect))} times that of {claim.reference}{interval_words(claim)}: "
        f"{ending}{need_words(claim)}{_shares_words(claim)}{reason}."
    )


def _untested(claim: Hypothesis, reason: str, change: str) -> Hypothesis:
    where = "" if claim.task == POOLED else f" on {claim.task}"
    sentence = f"Off-task{where}: no comparison of {claim.arm} with {claim.reference}: {reason}."
    return replace(claim, reason=reason, sentence=sentence, change=change)


def _tested(
    claims: list[Hypothesis], study: Study, config: AnalysisConfig, arm: str, tasks: Sequence[str]
) -> list[Hypothesis]:
    """Claims on the given tasks (a list of one for each claim, or all for the pooled one), not yet judged."""
    reference = study.reference
    return [
        replace(
            compare_variances(
                claim, study.deltas(reference, own), study.deltas(arm, own), config, len(claims)
            ),
            sampling_share_reference=sampling_share(study, reference, own),
            sampling_share_arm=sampling_share(study, arm, own),
        )
        for claim in claims
        for own in [list(tasks) if claim.task == POOLED else [claim.task]]
    ]


def _pooled(
    claim: Hypothesis, study: Study, config: AnalysisConfig, tasks: Sequence[str], out: Sequence[LeftOut]
) -> Hypothesis:
    """The pooled claim, judged on the tasks that take part."""
    told = f"left out: {', '.join(f'{gone.task} ({gone.why})' for gone in out)}" if out else ""
    if not tasks:
        raise Untestable(f"no off-task can be tested; {told}", out[0].change)
    judged = judge_variances(_tested([claim], study, config, claim.arm, tasks), config, "none")[0]
    judged = replace(judged, reason="; ".join(part for part in (judged.reason, told) if part))
    change = more_variable_change(judged, config.h2_smallest_ratio, config.alpha, tests=1)
    return replace(judged, change=change, sentence=_sentence(judged, config, len(tasks)))


def off_task_variability(study: Study, config: AnalysisConfig, arm: str) -> list[Hypothesis]:
    """H2 for one arm: the pooled claim, which answers H2, then each off-task with Holm over the tasks.

    It is about measured scores. Tasks near floor or ceiling, or without spread, are named and take no part in
    the pooled claim or the Holm family.
    """
    arms = (study.reference, arm)
    pooled = Hypothesis(
        id="H2", part="off-task variability", arm=arm, reference=study.reference, task=POOLED, headline=True,
        effect_name="ratio of variances of ΔJ over seeds", confidence=config.confidence,
        seeds_arm=len(study.seeds(arm)), seeds_reference=len(study.seeds(study.reference)),
    )  # fmt: skip
    claims = {task: replace(pooled, task=task, headline=False) for task in study.off_tasks}
    try:
        if not claims:
            raise Untestable("there is no off-task", "An off-task in a suite would allow a test.")
        check_seeds(study, arms)
        out = {task: lack for task in claims if (lack := left_out(study, arms, task))}
        tasks = [task for task in claims if task not in out]
        claims |= {task: _untested(claims[task], lack.detail, lack.change) for task, lack in out.items()}
        tested = _tested([claims[task] for task in tasks], study, config, arm, tasks)
        family = judge_variances(tested, config, f"Holm over {tasks_words(len(tasks))}")
        claims |= {claim.task: replace(claim, sentence=_sentence(claim, config, 1)) for claim in family}
        pooled = _pooled(pooled, study, config, tasks, list(out.values()))
    except Untestable as lack:
        pooled = _untested(pooled, lack.reason, lack.change)
        claims = {
            task: claim if claim.sentence else _untested(claim, lack.reason, lack.change)
            for task, claim in claims.items()
        }
    return [pooled, *claims.values()]
