"""From the evaluation files of a study to one record per run, and to the runs that are not among them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlvr.errors import UserError
from rlvr.evaluation.records import KlResult, RunLabel, Snapshot, SuiteResult, TaskResult, WeightChange
from rlvr.statistics.samples import POINTS

# Seed statistics use this repeat of each seed; further ones measure non-determinism only.
SEED_REPEAT = 1


@dataclass
class Run:
    """One policy: its results on every task, gathered from its suites."""

    label: RunLabel
    weight_hash: str
    weight_change: WeightChange | None = None
    suites: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, TaskResult] = field(default_factory=dict)
    kl: dict[str, KlResult] = field(default_factory=dict)
    drift: list[Snapshot] = field(default_factory=list)


@dataclass(frozen=True)
class MissingRun:
    """A run that the study should have and that no number rests on, and why."""

    label: RunLabel
    reason: str


@dataclass(frozen=True)
class Study:
    """Base and runs with the same tasks, the on-task one first; the reference arm first, then by name.

    `arms` have at least one run; the reference is among them unless all of its runs are `missing`.
    """

    on_task: str
    reference: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    base: Run
    runs: tuple[Run, ...]
    missing: tuple[MissingRun, ...] = ()

    @property
    def off_tasks(self) -> tuple[str, ...]:
        """The tasks that were not trained on."""
        return self.tasks[1:]

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms that are compared with the reference; none where it has no run."""
        return self.arms[1:] if self.reference in self.arms else ()

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
                raise ValueError(f"the KL of {run_name(run.label)} was not measured on {', '.join(missing)}")
        return np.array([[run.kl[task].full for task in tasks] for run in self.seeds(arm)])


def run_name(label: RunLabel) -> str:
    """A run in words."""
    return f"{label.arm} seed {label.seed} repeat {label.rep}"


def missing_seeds(study: Study, arm: str) -> list[int]:
    """The seeds that an arm should have and that no number rests on."""
    labels = (gone.label for gone in study.missing)
    return sorted(label.seed for label in labels if label.arm == arm and label.rep == SEED_REPEAT)


def missing_words(study: Study, arm: str) -> str:
    """`bf16 has seeds 1, 2, 4 of 5; seed 3 is missing`; empty where every seed is there."""
    lost = missing_seeds(study, arm)
    if not lost:
        return ""
    there = [run.label.seed for run in study.seeds(arm)]
    seeds = ", ".join(map(str, there)) if there else "none"
    gone = f"seed {lost[0]} is" if len(lost) == 1 else f"seeds {', '.join(map(str, lost))} are"
    return f"{arm} has seeds {seeds} of {len(there) + len(lost)}; {gone} missing"


def _broken_numbers(record: Any, where: str) -> Iterator[str]:
    """Each number of a record (a dataclass) that is not finite, in words."""
    for name, value in vars(record).items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        for key, number in entries:
            numbers = number if isinstance(number, list | tuple) else (number,)
            if any(isinstance(part, float) and not math.isfinite(part) for part in numbers):
                yield f"{name}{key and f'[{key}]'} {where} is not a finite number"


def _broken(run: Run) -> str:
    """The first number of a run that is not finite, in words; empty where all are."""
    records: list[tuple[Any, str]] = [(scored, f"on {task}") for task, scored in run.tasks.items()]
    records += [(kl, f"of the KL on {task}") for task, kl in run.kl.items()]
    for point in run.drift:
        records += [(point.scored, f"on {point.scored.task} at step {point.step}")]
        records += [(point.kl, f"of the KL on {point.kl.task} at step {point.step}")]
    records += [(run.weight_change, "of the change of weights")] if run.weight_change else []
    return next((fault for record, where in records for fault in _broken_numbers(record, where)), "")


def _gather(files: Iterable[str | Path]) -> tuple[list[Run], dict[RunLabel, str]]:
    """One `Run` per label; and what is wrong with a run whose suites do not belong together."""
    runs: dict[RunLabel, Run] = {}
    faults: dict[RunLabel, str] = {}
    for file in files:
        suite = SuiteResult.read(file)
        run = runs.setdefault(suite.run, Run(suite.run, suite.weight_hash, suite.weight_change))
        if run.weight_hash != suite.weight_hash:
            faults[suite.run] = f"{file}: other suites of {run_name(suite.run)} scored other weights"
        for task in suite.tasks:
            if task.task in run.tasks:
                faults[suite.run] = f"{file}: task {task.task} of {run_name(suite.run)} was evaluated twice"
            run.tasks[task.task] = task
            run.suites[task.task] = suite.suite
        run.kl |= {kl.task: kl for kl in suite.kl}
        run.drift += suite.drift
    return list(runs.values()), faults


def _load_base(files: Sequence[str | Path], on_task: str) -> Run:
    bases, faults = _gather(files)
    if len(bases) != 1:
        raise UserError(f"the base files hold {len(bases)} policies; exactly one is the base")
    base = bases[0]
    if fault := faults.get(base.label) or _broken(base):
        raise UserError(f"the base cannot be compared with: {fault}")
    if on_task not in base.tasks:
        known = ", ".join(base.tasks)
        raise UserError(f"the base was not evaluated on the on-task {on_task!r}; it was on: {known}")
    return base


def _task_fault(base: Run, run: Run) -> str:
    """What keeps a run from comparison with the base; the order of tasks does not count."""
    name = run_name(run.label)
    missing = [task for task in base.tasks if task not in run.tasks]
    extra = [task for task in run.tasks if task not in base.tasks]
    faults = []
    if missing:
        faults.append(f"{name} has no result on {', '.join(missing)}")
    if extra:
        faults.append(f"the base has no result on {', '.join(extra)}, which {name} has")
    for task in (task for task in base.tasks if task in run.tasks):
        counts = run.tasks[task].problems, base.tasks[task].problems
        if counts[0] != counts[1]:
            faults.append(f"{name} has {counts[0]} problems of {task}, the base {counts[1]}")
    return "; ".join(faults)


def load_study(
    base_files: Sequence[str | Path],
    run_files: Sequence[str | Path],
    on_task: str,
    reference: str,
    missing: Sequence[MissingRun] = (),
    partial: bool = False,
) -> Study:
    """Read all suites; UserError names the task or arm that is missing, or the run that is there twice.

    Tasks keep the order of `base_files`; the order of `run_files` does not matter. A run that is `missing`
    already, or that has a number that is not finite, is left out and named; if `partial`, so is one with
    other tasks, other problems or other weights than it should have, which is an error else.
    """
    base = _load_base(base_files, on_task)

    def order(label: RunLabel) -> tuple[bool, str, int, int]:
        return label.arm != reference, label.arm, label.seed, label.rep

    gathered, mixed = _gather(run_files)
    known = {gone.label for gone in missing}
    present = sorted((run for run in gathered if run.label not in known), key=lambda run: order(run.label))
    faults = {run.label: mixed.get(run.label) or _task_fault(base, run) for run in present}
    if any(faults.values()) and not partial:
        wrong = "\n".join(f"- {fault}; evaluate it again" for fault in faults.values() if fault)
        raise UserError(
            f"every run must be evaluated once, on the tasks and problems of the base, but:\n{wrong}"
        )
    faults = {run.label: faults[run.label] or _broken(run) for run in present}
    broken = [MissingRun(label, fault) for label, fault in faults.items() if fault]
    runs = tuple(run for run in present if not faults[run.label])
    missing = tuple(sorted([*missing, *broken], key=lambda gone: order(gone.label)))
    found = {run.label.arm for run in runs if run.label.rep == SEED_REPEAT}
    if reference not in found and not any(gone.label.arm == reference for gone in missing):
        raise UserError(
            f"the reference arm {reference!r} has no run; arms with runs: {', '.join(sorted(found))}"
        )
    tasks = (on_task, *(task for task in base.tasks if task != on_task))
    arms = sorted(found, key=lambda arm: (arm != reference, arm))
    return Study(on_task, reference, tasks, tuple(arms), base, runs, missing)
