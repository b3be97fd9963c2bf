"""Standard errors of the precision study's evaluation, and the power of its tests H1 to H3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlvr.plan.problems import evaluation_problems
from rlvr.statistics.planning import (
    StudyPlan,
    gain_standard_error,
    new_problems_standard_error,
    sampling_standard_error,
)
from rlvr.statistics.power import arms_equivalence_power, variance_test_power
from rlvr.statistics.samples import POINTS

Config = Mapping[str, Any]


@dataclass(frozen=True)
class TaskErrors:
    """Standard errors of one run on a task in points, all None where its problems are not counted yet."""

    task: str
    problems: int | None
    samples: int
    sampling: float | None
    new_problems: float | None
    gain: float | None


def evaluation_errors(config: Config, accuracy: float) -> list[TaskErrors]:
    """Every task of the suites, at an expected accuracy; see `rlvr.statistics.planning`."""
    evaluation = config["precision"]["evaluation"]
    found = []
    for task in (task for suite in evaluation["suites"].values() for task in suite):
        problems, samples = evaluation_problems(config, task), evaluation["tasks"][task]["samples"]
        if not problems:
            found.append(TaskErrors(task, None, samples, None, None, None))
            continue
        sampling = POINTS * sampling_standard_error(problems, samples, accuracy)
        others = POINTS * new_problems_standard_error(problems, accuracy)
        gain = gain_standard_error(sampling, evaluation["base_samples_factor"])
        found.append(TaskErrors(task, problems, samples, sampling, others, gain))
    return found


def study_plan(config: Config, accuracy: float) -> StudyPlan | str:
    """The config's study for `rlvr.statistics`, or why its tests cannot be planned."""
    study = config["precision"]
    evaluation, analysis = study["evaluation"], study["analysis"]
    on_task = evaluation["on_task"]
    problems = evaluation_problems(config, on_task)
    if study["seeds"] < 2:
        return "precision.seeds is 1, and no test of arms works with fewer than 2 seeds"
    if not problems:
        return f"the problems of {on_task} are not counted yet; prepare the data first"
    tasks = sum(map(len, evaluation["suites"].values())) - 1
    return StudyPlan(
        seeds=study["seeds"],
        problems=problems,
        samples=evaluation["tasks"][on_task]["samples"],
        accuracy=accuracy,
        tasks=max(tasks, 1),
        alpha=analysis["alpha"],
        margin=analysis["equivalence_margin_points"],
        kl_ratio=analysis["kl_equivalence_ratio"],
        base_samples_factor=evaluation["base_samples_factor"],
    )


def powers(plan: StudyPlan) -> dict[str, float]:
    """Power of the tests of H1, H2 (permutation, at the level of Holm's first step) and H3."""
    return {
        "H1": arms_equivalence_power(plan.seeds, plan.score_sd, plan.margin, plan.alpha),
        "H2": variance_test_power(plan.seeds, plan.ratio, plan.holm_alpha),
        "H3": arms_equivalence_power(plan.seeds, plan.kl_sd, plan.log_kl_margin, plan.alpha),
    }
