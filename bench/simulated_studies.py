"""Made-up precision studies for bench/calibration.py: two arms, one on-task and six off-tasks.

The treatment arm differs from the reference by what is planted, and in a null study by nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from rlvr.analysis.load import Run, Study
from rlvr.evaluation.records import KlResult, RunLabel, Snapshot, TaskResult

TASKS = ("on", "off1", "off2", "off3", "off4", "off5", "off6")
OFF = len(TASKS) - 1
BASE_ACCURACY = 0.5
PROBLEMS, SAMPLES = 500, 16
DELTA_SD = 1.0  # points
LOG_KL_SD = 0.1
# Sd over seeds of the logarithm of a run's pace, where runs have checkpoints; and their steps.
LOG_PACE_SD = 0.3
STEPS = tuple(range(15, 121, 15))
# Right responses of a run on a task near the floor, on average: from one in ten runs to one a run.
FLOOR_MEANS = (0.1, 1.0)


@dataclass(frozen=True)
class Scenario:
    """How simulated studies are drawn; the treatment arm differs from the reference by what is not 0 or 1.

    `correlation` is that of the tasks of a run; `heavy` draws from t with 3 degrees of freedom, scaled to
    variance 1. `on_shift` is in points; `off_kl_shift` in nats of log KL. `ratio` is the variance ratio of
    ΔJ and of log KL on all off-tasks, or, with `first_only`, of ΔJ on the first. `floor` puts the first
    off-task of both arms near the floor. `speed`: how many times as fast the treatment arm moves, by the same
    law; if it is not 1, runs have checkpoints and arms are compared at equal progress.
    """

    name: str
    correlation: float = 0.0
    heavy: bool = False
    on_shift: float = 0.0
    off_kl_shift: float = 0.0
    ratio: float = 1.0
    first_only: bool = False
    floor: bool = False
    speed: float = 1.0


def draws(scenario: Scenario, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Variance-1 values of shape (seeds, tasks); the heavy law keeps its own marginals only for ρ 0 and 1."""

    def law(*shape: int) -> np.ndarray:
        return rng.standard_t(3, shape) / math.sqrt(3) if scenario.heavy else rng.standard_normal(shape)

    share = scenario.correlation
    return math.sqrt(share) * law(seeds, 1) + math.sqrt(1 - share) * law(seeds, len(TASKS))


def _task(task: str, accuracy: float) -> TaskResult:
    return TaskResult(
        task=task, problems=PROBLEMS, samples=SAMPLES, accuracy=accuracy, accuracy_se_problems=0.01,
        accuracy_se_sampling=0.004, accuracy_halves=(accuracy, accuracy), pass_at={"1": accuracy},
        pass_at_se={"1": None}, format_ok=1.0, stopped=1.0, response_tokens=3.0, strata={},
    )  # fmt: skip


def _kl(task: str, kl: float) -> KlResult:
    return KlResult(task, PROBLEMS, 2, kl, None, kl, None, kl, None, 3.0)


def _run(label: RunLabel, accuracies: np.ndarray, kls: np.ndarray) -> Run:
    run = Run(label, f"{label.arm}{label.seed}")
    for task, accuracy, kl in zip(TASKS, accuracies, kls, strict=True):
        run.tasks[task], run.kl[task] = _task(task, accuracy), _kl(task, kl)
    return run


def _runs(scenario: Scenario, arm: str, seeds: int, rng: np.random.Generator) -> list[Run]:
    """The runs of an arm after equally many steps; `b` is the treatment arm."""
    deltas, logs = DELTA_SD * draws(scenario, seeds, rng), LOG_KL_SD * draws(scenario, seeds, rng)
    if arm == "b":
        widened = slice(1, 2 if scenario.first_only else None)
        deltas[:, widened] *= math.sqrt(scenario.ratio)
        logs[:, widened] *= 1.0 if scenario.first_only else math.sqrt(scenario.ratio)
        deltas[:, 0] += scenario.on_shift
        logs[:, 1:] += scenario.off_kl_shift
    accuracies, kls = BASE_ACCURACY + deltas / 100, 0.1 * np.exp(logs)
    return [_run(RunLabel(arm, seed + 1, 1), accuracies[seed], kls[seed]) for seed in range(seeds)]


def _to_the_floor(runs: list[Run], rng: np.random.Generator) -> None:
    """The first off-task of all runs: Poisson numbers of right responses, one mean for both arms."""
    mean = math.exp(rng.uniform(*np.log(FLOOR_MEANS)))
    for run, right in zip(runs, rng.poisson(mean, len(runs)), strict=True):
        run.tasks[TASKS[1]] = _task(TASKS[1], right / (PROBLEMS * SAMPLES))


def _moving_run(label: RunLabel, speed: float, rng: np.random.Generator) -> Run:
    """A run whose ΔJ and KL grow with its steps, on every task at the run's own pace, and its checkpoints."""
    pace = speed * math.exp(LOG_PACE_SD * rng.standard_normal())
    scatter = LOG_KL_SD * rng.standard_normal((2, len(TASKS)))
    drift = []
    for step in STEPS:
        progress = pace * step / STEPS[-1]
        accuracies = BASE_ACCURACY + progress * (1 + scatter[0]) / 100
        run = _run(label, accuracies, 0.1 * progress * np.exp(scatter[1]))
        drift += [Snapshot(step, run.tasks[task], run.kl[task]) for task in TASKS]
    run.drift = drift
    return run


def simulate_study(scenario: Scenario, seeds: int, rng: np.random.Generator) -> Study:
    """One study: arm `a`, the reference, and arm `b`."""
    if scenario.speed == 1:
        runs = [run for arm in "ab" for run in _runs(scenario, arm, seeds, rng)]
    else:
        speeds = {"a": 1.0, "b": scenario.speed}
        runs = [
            _moving_run(RunLabel(arm, seed + 1, 1), speed, rng)
            for arm, speed in speeds.items()
            for seed in range(seeds)
        ]
    if scenario.floor:
        _to_the_floor(runs, rng)
    base = Run(RunLabel("base", 0, 0), "base")
    base.tasks = {task: _task(task, BASE_ACCURACY) for task in TASKS}
    return Study("on", "a", TASKS, ("a", "b"), base, tuple(runs))
