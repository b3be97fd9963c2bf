"""From the evaluation files of a study to one record per run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlvr.errors import UserError
from rlvr.evaluation.records import KlResult, RunLabel, SnapshotKl, SuiteResult, TaskResult, WeightChange

# Seed statistics use this repeat of each seed; further ones measure non-determinism only.
SEED_REPEAT = 1
POINTS = 100.0


@dataclass
class Run:
    """One policy: its results on every task, gathered from its suites."""

    label: RunLabel
    weight_hash: str
    weight_change: WeightChange | None = None
    suites: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, TaskResult] = field(default_factory=dict)
    kl: dict[str, KlResult] = field(default_factory=dict)
    drift: list[SnapshotKl] = field(default_factory=list)


@dataclass(frozen=True)
class Study:
    """Base and runs with the same tasks, the on-task one first; the reference arm first, then by name."""

    on_task: str
    reference: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    base: Run
    runs: tuple[Run, ...]

    @property
    def off_tasks(self) -> tuple[str, ...]:
        """The tasks that were not trained on."""
        return self.tasks[1:]

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms that are compared with the reference."""
        return self.arms[1:]

    def seeds(self, arm: str) -> list[Run]:
        """The runs that enter seed statistics: one per seed."""
        return [run for run in self.runs if run.label.arm == arm and run.label.rep == SEED_REPEAT]

    def delta_points(self, run: Run, task: str) -> float:
        """ΔJ: accuracy of the run minus that of the base, in points."""
        return POINTS * (run.tasks[task].accuracy - self.base.tasks[task].accuracy)

    def deltas(self, arm: str, tasks: Sequence[str]) -> NDArray[np.float64]:
        """ΔJ in points, shape (seeds, tasks)."""
        return np.array([[self.delta_points(run, task) for task in tasks] for run in self.seeds(arm)])

    def kl(self, arm: str, tasks: Sequence[str]) -> NDArray[np.float64]:
        """Full-vocabulary KL to the base in nats per response, shape (seeds, tasks).

        ValueError names the run and task where it was not measured.
        """
        for run in self.seeds(arm):
            missing = [task for task in tasks if task not in run.kl]
            if missing:
                raise ValueError(f"the KL of {_name(run.label)} was not measured on {', '.join(missing)}")
        return np.array([[run.kl[task].full for task in tasks] for run in self.seeds(arm)])


def _name(label: RunLabel) -> str:
    return f"{label.arm} seed {label.seed} repeat {label.rep}"


def _gather(files: Iterable[str | Path]) -> list[Run]:
    """One `Run` per label; the suites of a run must have scored the same weights and no task twice."""
    runs: dict[RunLabel, Run] = {}
    for file in files:
        suite = SuiteResult.read(file)
        run = runs.setdefault(suite.run, Run(suite.run, suite.weight_hash, suite.weight_change))
        if run.weight_hash != suite.weight_hash:
            raise UserError(
                f"{file}: other suites of {_name(suite.run)} scored other weights; evaluate them again"
            )
        for task in suite.tasks:
            if task.task in run.tasks:
                raise UserError(f"{file}: task {task.task} of {_name(suite.run)} was evaluated twice")
            run.tasks[task.task] = task
            run.suites[task.task] = suite.suite
        run.kl |= {kl.task: kl for kl in suite.kl}
        run.drift += suite.drift
    return list(runs.values())


def _check_tasks(base: Run, runs: Sequence[Run], on_task: str) -> None:
    if on_task not in base.tasks:
        known = ", ".join(base.tasks)
        raise UserError(f"the base was not evaluated on the on-task {on_task!r}; it was on: {known}")
    wrong = [fault for run in runs for fault in _task_faults(base, run)]
    if wrong:
        raise UserError(
            "every run must be evaluated on the tasks and problems of the base, but:\n"
            + "\n".join(f"- {fault}" for fault in wrong)
        )


def _task_faults(base: Run, run: Run) -> Iterator[str]:
    """What keeps a run from comparison with the base, a sentence each; the order of tasks does not count."""
    name = _name(run.label)
    missing = [task for task in base.tasks if task not in run.tasks]
    extra = [task for task in run.tasks if task not in base.tasks]
    if missing:
        yield f"{name} has no result on {', '.join(missing)}; evaluate it on them"
    if extra:
        yield f"the base has no result on {', '.join(extra)}, which {name} has; evaluate the base on them"
    for task in (task for task in base.tasks if task in run.tasks):
        counts = run.tasks[task].problems, base.tasks[task].problems
        if counts[0] != counts[1]:
            yield f"{name} has {counts[0]} problems of {task}, the base {counts[1]}; evaluate them alike"


def load_study(
    base_files: Sequence[str | Path], run_files: Sequence[str | Path], on_task: str, reference: str
) -> Study:
    """Read all suites; UserError names the run, task or arm that is missing or there twice.

    Tasks keep the order of `base_files`; the order of `run_files` does not matter.
    """
    bases = _gather(base_files)
    if len(bases) != 1:
        raise UserError(f"the base files hold {len(bases)} policies; exactly one is the base")
    base = bases[0]
    runs = sorted(
        _gather(run_files),
        key=lambda run: (run.label.arm != reference, run.label.arm, run.label.seed, run.label.rep),
    )
    _check_tasks(base, runs, on_task)
    found = {run.label.arm for run in runs if run.label.rep == SEED_REPEAT}
    if reference not in found:
        raise UserError(
            f"the reference arm {reference!r} has no run; arms with runs: {', '.join(sorted(found))}"
        )
    tasks = (on_task, *(task for task in base.tasks if task != on_task))
    return Study(on_task, reference, tasks, (reference, *sorted(found - {reference})), base, tuple(runs))
