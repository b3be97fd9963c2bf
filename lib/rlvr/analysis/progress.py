"""Checkpoints at equal on-task progress: arms that lose updates train less in the same number of steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rlvr.analysis.hypothesis import Untestable, given
from rlvr.analysis.load import Run, Study
from rlvr.config.precision import AnalysisConfig, EqualProgressConfig
from rlvr.evaluation.records import KlResult, RunLabel, Snapshot, TaskResult
from rlvr.statistics.samples import POINTS

MATCH_COLUMNS = (
    "arm", "reference", "run_arm", "seed", "measure", "level", "step", "progress", "arm_progress", "distance",
    "last_step", "last_progress", "matched", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A run after `step` training steps, scored on every task; `progress` as `measure` says, on-task."""

    step: int
    progress: float
    tasks: dict[str, TaskResult]
    kl: dict[str, KlResult]


@dataclass(frozen=True)
class ArmPath:
    """The checkpoints by seed and step of an arm, and its mean progress at each step that all seeds have."""

    arm: str
    seeds: dict[RunLabel, dict[int, Checkpoint]]
    means: dict[int, float]

    @property
    def last(self) -> int:
        """The last step that all seeds have."""
        return max(self.means)


@dataclass(frozen=True)
class Match:
    """The checkpoint that stands for a run at the progress `level` that two arms have in common.

    `progress` is the run's own at `step` and `arm_progress` its arm's mean there: nats of KL or points of
    ΔJ, as are `level` and `last_progress`. `distance` is that between the two arms' means at their steps, a
    factor of 1 or more (KL) or a gap in points. Steps and numbers are None where there are none.
    """

    run: RunLabel
    matched: bool
    reason: str = ""
    level: float | None = None
    step: int | None = None
    progress: float | None = None
    arm_progress: float | None = None
    distance: float | None = None
    last_step: int | None = None
    last_progress: float | None = None


@dataclass(frozen=True)
class Matched:
    """The runs of the reference and of `arm` at equal progress: a study of two arms, for the same tests.

    `reason` says why nothing can be tested and `change` what would help; both are empty where the arms match.
    """

    arm: str
    study: Study
    matches: tuple[Match, ...]
    level: float | None
    reason: str = ""
    change: str = ""


def checkpoints(study: Study, run: Run, rule: EqualProgressConfig) -> list[Checkpoint]:
    """The snapshots of a run and its last step, in order of steps; those that were scored on every task."""
    by_step: dict[int, list[Snapshot]] = {}
    for point in run.drift:
        by_step.setdefault(point.step, []).append(point)
    found = []
    for step, points in sorted(by_step.items()):
        tasks = {point.scored.task: point.scored for point in points}
        kl = {point.kl.task: point.kl for point in points}
        if not tasks.keys() & kl.keys() >= set(study.tasks):
            continue
        gain = POINTS * (tasks[study.on_task].accuracy - study.base.tasks[study.on_task].accuracy)
        progress = kl[study.on_task].full if rule.measure == "kl" else gain
        found.append(Checkpoint(step, progress, tasks, kl))
    return found


def mean_progress(values: Sequence[float], rule: EqualProgressConfig) -> float:
    """Mean over seeds, geometric for KL: 0 where one of them is not above 0."""
    if rule.measure == "accuracy":
        return float(np.mean(values))
    return float(np.exp(np.mean(np.log(values)))) if min(values) > 0 else 0.0


def arm_path(study: Study, arm: str, rule: EqualProgressConfig) -> ArmPath:
    """The path of an arm; Untestable where no step was scored on every task in all of its seeds."""
    seeds = {
        run.label: {point.step: point for point in checkpoints(study, run, rule)} for run in study.seeds(arm)
    }
    common = set.intersection(*map(set, seeds.values()))
    if not common:
        without = [str(label.seed) for label, points in seeds.items() if not points]
        why = f" (none in seed {', '.join(without)})" if without else ""
        raise Untestable(
            f"no step of {arm} was scored on every task in all of its seeds{why}",
            "Snapshots of every seed at the same steps, scored on every task, would give steps to compare.",
        )
    means = {
        step: mean_progress([points[step].progress for points in seeds.values()], rule)
        for step in sorted(common)
    }
    return ArmPath(arm, seeds, means)


def _distance(progress: float, level: float, rule: EqualProgressConfig) -> float:
    """The factor between two KLs, infinite for a KL of zero, or the gap between two gains."""
    if rule.measure == "accuracy":
        return abs(progress - level)
    return math.exp(abs(math.log(progress / level))) if progress > 0 else math.inf


def _level(paths: Sequence[ArmPath], rule: EqualProgressConfig) -> float:
    """The smaller of the arms' means at their last steps; Untestable for a KL that is not above 0."""
    behind = min(paths, key=lambda path: path.means[path.last])
    level = behind.means[behind.last]
    if rule.measure == "kl" and level <= 0:
        raise Untestable(
            f"an on-task KL of {behind.arm} to the base is not above 0 at its last step, {behind.last}, so "
            f"there is no level of KL to match",
            "Runs that move away from the base, or steps matched by gain, would give a level.",
        )
    return level


def _nearest(path: ArmPath, level: float, rule: EqualProgressConfig) -> int:
    """The step whose mean is nearest to the level, the later one of two."""
    return min(path.means, key=lambda step: (_distance(path.means[step], level, rule), -step))


def _too_far(paths: Sequence[ArmPath], steps: dict[str, int], rule: EqualProgressConfig) -> Untestable | None:
    """What to say where the arms' means are further apart than the rule allows; None where they are not."""
    behind, ahead = sorted(paths, key=lambda path: path.means[path.last])
    means = [path.means[steps[path.arm]] for path in (behind, ahead)]
    distance = _distance(means[1], means[0], rule)
    kl = rule.measure == "kl"
    limit = rule.largest_kl_ratio if kl else rule.largest_gap_points
    if distance <= limit:
        return None
    far = f"a factor of {distance:.2f}" if kl else f"{distance:.1f} points"
    return Untestable(
        f"the nearest step of {ahead.arm}, {steps[ahead.arm]} (mean {_progress_words(means[1], rule)}), is "
        f"{far} from {behind.arm} at step {steps[behind.arm]} (mean {_progress_words(means[0], rule)}); "
        f"allowed: {limit:g}",
        f"More snapshots of {ahead.arm}, or a wider limit, would give steps to compare.",
    )


def _at(run: Run, chosen: Checkpoint) -> Run:
    """The run as it was at a checkpoint; the weights of a snapshot have no record of their own."""
    if chosen.step == max(point.step for point in run.drift):
        return replace(run, tasks=chosen.tasks, kl=chosen.kl)
    return replace(run, tasks=chosen.tasks, kl=chosen.kl, weight_hash="", weight_change=None)


def match_progress(study: Study, config: AnalysisConfig, arm: str) -> Matched:
    """The reference and `arm` at equal on-task progress, by the rule of the config.

    The level is the smaller of the two arms' mean progress over seeds at their last steps. Each arm is taken
    at the one step, common to its seeds, whose mean is nearest to the level: the arm behind at its last.
    Choosing a step for each run would take the spread out of the arm ahead, and of what goes with its
    progress off-task, but leave it in the other. Both arms are scored by equally many samples.
    """
    rule, arms = config.equal_progress, (study.reference, arm)
    try:
        paths = [arm_path(study, name, rule) for name in arms]
        level = _level(paths, rule)
    except Untestable as lack:
        matches = tuple(Match(run.label, False, lack.reason) for name in arms for run in study.seeds(name))
        return Matched(arm, replace(study, arms=arms, runs=()), matches, None, lack.reason, lack.change)
    steps = {path.arm: _nearest(path, level, rule) for path in paths}
    far = _too_far(paths, steps, rule)
    one, other = (path.means[steps[path.arm]] for path in paths)
    distance = _distance(one, other, rule)
    matches = tuple(
        Match(
            label, far is None, far.reason if far else "", level, step, points[step].progress,
            path.means[step], distance if math.isfinite(distance) else None, path.last,
            points[path.last].progress,
        )
        for path in paths
        for step in [steps[path.arm]]
        for label, points in path.seeds.items()
    )  # fmt: skip
    if far:
        return Matched(arm, replace(study, arms=arms, runs=()), matches, level, far.reason, far.change)
    at = {label: points[steps[path.arm]] for path in paths for label, points in path.seeds.items()}
    runs = tuple(_at(run, at[run.label]) for name in arms for run in study.seeds(name))
    return Matched(arm, replace(study, arms=arms, runs=runs), matches, level)


def _progress_words(value: float, rule: EqualProgressConfig) -> str:
    """Points with a digit behind the point; nats with two significant digits, whole ones from 10 on."""
    if rule.measure == "accuracy":
        return f"{value:.1f}".replace("-", "−")
    return f"{value:.0f}" if value >= 10 else f"{value:#.2g}".rstrip(".")


def match_words(matched: Matched, rule: EqualProgressConfig) -> str:
    """`on-task KL near 0.10 nats: fp32 at step 30 (mean 0.11), bf16 at step 100 (mean 0.10)`."""
    unit = "on-task KL near {} nats" if rule.measure == "kl" else "on-task gain near {} points"
    chosen = {match.run.arm: match for match in matched.matches}
    sides = ", ".join(
        f"{arm} at step {match.step} (mean {_progress_words(given(match.arm_progress), rule)})"
        for arm, match in chosen.items()
    )
    return f"{unit.format(_progress_words(given(matched.level), rule))}: {sides}"


def matches_table(study: Study, config: AnalysisConfig) -> pd.DataFrame:
    """One row per compared pair of arms and run: the step that stands for its arm, or why none does."""
    rows = [
        {
            "arm": arm,
            "reference": study.reference,
            "run_arm": match.run.arm,
            "seed": match.run.seed,
            "measure": config.equal_progress.measure,
        }
        | {name: getattr(match, name) for name in MATCH_COLUMNS[5:]}
        for arm in study.treatments
        for match in match_progress(study, config, arm).matches
    ]
    return pd.DataFrame(rows, columns=list(MATCH_COLUMNS))
