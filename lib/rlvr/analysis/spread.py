"""Which tasks a comparison of variances over seeds can rest on, and how much of each is sampling noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlvr.analysis.hypothesis import Untestable
from rlvr.analysis.load import Study
from rlvr.statistics.components import split_half_components
from rlvr.statistics.samples import Array, rounding_variance

# Of right and of wrong responses a run. With fewer, scores take so few values that seeds often agree, and a
# test of spread, made for values without ties, rejects too often.
FEWEST_RESPONSES = 10


@dataclass(frozen=True)
class LeftOut:
    """A task that takes no part in a comparison of variances: why, in short and with its numbers."""

    task: str
    why: str
    detail: str
    change: str


def check_seeds(study: Study, arms: Sequence[str]) -> None:
    """Untestable where an arm has fewer than two seeds."""
    for arm in arms:
        if len(study.seeds(arm)) < 2:
            reason = f"{arm} has {len(study.seeds(arm))} seed; a spread over seeds needs at least 2"
            raise Untestable(reason, "More seeds would allow a test.")


def varied(reference: Array, treatment: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which columns (tasks) of (runs, tasks) vary over the runs beyond rounding, by arm."""
    rounding = rounding_variance(reference, treatment)
    spreads = [np.var(side, axis=0, ddof=1) > rounding for side in (reference, treatment)]
    return spreads[0], spreads[1]


def responses(study: Study, arm: str, task: str) -> tuple[float, float]:
    """Right and wrong responses a run of an arm on a task, means over its seeds."""
    scored = [run.tasks[task] for run in study.seeds(arm)]
    counts = [(found.accuracy, found.problems * found.samples) for found in scored]
    right = float(np.mean([share * count for share, count in counts]))
    return right, float(np.mean([count for _, count in counts])) - right


def left_out(study: Study, arms: Sequence[str], task: str) -> LeftOut | None:
    """Why a task cannot enter H2; None where it can. Both arms need two seeds or more."""
    for arm in arms:
        right, wrong = responses(study, arm, task)
        if min(right, wrong) < FEWEST_RESPONSES:
            detail = (
                f"near floor or ceiling: a run of {arm} has {right:,.1f} right and {wrong:,.1f} wrong "
                f"responses on average; at least {FEWEST_RESPONSES} of each are needed"
            )
            change = f"More problems of {task}, or more samples per problem, would allow a test."
            return LeftOut(task, "near floor or ceiling", detail, change)
    vary = varied(*(study.deltas(arm, [task]) for arm in arms))
    for arm, varies in zip(arms, vary, strict=True):
        if not varies.all():
            detail = f"the ratio is undefined, since {arm} did not vary over its seeds"
            return LeftOut(task, f"no spread in {arm}", detail, f"Seeds on which {arm} varies would tell.")
    return None


def sampling_share(study: Study, arm: str, tasks: Sequence[str]) -> float | None:
    """The share of the variance over seeds that is evaluation sampling, in [0, 1], a mean over tasks.

    From two disjoint halves of each problem's samples (`split_half_components`); None where a problem has
    one sample only.
    """
    shares = []
    for task in tasks:
        runs = study.seeds(arm)
        halves = [half for run in runs if (half := run.tasks[task].accuracy_halves) is not None]
        if len(halves) < len(runs):
            return None
        found = split_half_components(halves)
        shares.append(min(1.0, found.sampling / found.total) if found.total > 0 else 1.0)
    return float(np.mean(shares))
