"""The tidy tables of the precision study."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from rlvr.analysis.load import Run, Study, missing_seeds
from rlvr.evaluation.records import KlResult, Snapshot, TaskResult
from rlvr.statistics.equivalence import mean_interval
from rlvr.statistics.samples import POINTS

# Columns of runs.csv that begin so name the strata of problems.
BASE_STRATUM = "base_accuracy_"
RUN_KEYS = ("arm", "seed", "rep")
ARM_COLUMNS = (
    "arm", "task", "on_task", "metric", "interval", "seeds", "mean", "sd", "low", "high", "seeds_missing",
)  # fmt: skip
MISSING_COLUMNS = (*RUN_KEYS, "reason")
DRIFT_COLUMNS = ("task", "on_task", "step", "samples", "accuracy", "delta_points")


def _points(share: float | None) -> float | None:
    return None if share is None else POINTS * share


def _label(run: Run) -> dict[str, Any]:
    return {key: getattr(run.label, key) for key in RUN_KEYS}


def _kl_columns(kl: KlResult | None) -> dict[str, float | None]:
    """The columns kl_full ... kl_response_tokens, empty where KL was not measured."""
    names = ("full", "full_se", "k1", "k1_se", "k3", "k3_se", "response_tokens")
    return {f"kl_{name}": None if kl is None else getattr(kl, name) for name in names}


def _task_columns(scored: TaskResult, base: TaskResult) -> dict[str, float | None]:
    halves = scored.accuracy_halves or (None, None)
    return {
        "problems": scored.problems,
        "samples": scored.samples,
        "accuracy": scored.accuracy,
        "base_accuracy": base.accuracy,
        "delta_points": POINTS * (scored.accuracy - base.accuracy),
        "se_sampling_points": _points(scored.accuracy_se_sampling),
        "se_problems_points": _points(scored.accuracy_se_problems),
        "base_samples": base.samples,
        "base_se_sampling_points": _points(base.accuracy_se_sampling),
        "accuracy_half_1": halves[0],
        "accuracy_half_2": halves[1],
        "format_ok": scored.format_ok,
        "stopped": scored.stopped,
        "response_tokens": scored.response_tokens,
    }


def _strata_columns(scored: TaskResult, base: TaskResult) -> dict[str, float | None]:
    """The columns accuracy_X and base_accuracy_X of every stratum X of the task's problems."""
    return {f"accuracy_{name}": value for name, value in scored.strata.items()} | {
        f"{BASE_STRATUM}{name}": base.strata.get(name) for name in scored.strata
    }


def runs_table(study: Study) -> pd.DataFrame:
    """One row per run and task: shares in [0, 1], `_points` in points, KL in nats per response."""
    rows = []
    for run in study.runs:
        for task in study.tasks:
            scored = run.tasks[task]
            rows.append(
                _label(run)
                | {"task": task, "on_task": task == study.on_task, "suite": run.suites[task]}
                | _task_columns(scored, study.base.tasks[task])
                | {f"pass_at_{k}": value for k, value in scored.pass_at.items()}
                | _strata_columns(scored, study.base.tasks[task])
                | _kl_columns(run.kl.get(task))
                | {"weight_hash": run.weight_hash}
            )
    return pd.DataFrame(rows)


def _interval_row(values: list[float], confidence: float, common_error: float = 0.0) -> dict[str, Any]:
    """Mean, sd and t interval over seeds; the last three are empty for a single seed."""
    if len(values) < 2:
        return {"seeds": len(values), "mean": values[0], "sd": None, "low": None, "high": None}
    found = mean_interval(values, confidence, common_error)
    return {"seeds": found.n, "mean": found.mean, "sd": found.sd, "low": found.low, "high": found.high}


def _arm_rows(study: Study, arm: str, task: str, confidence: float) -> Iterator[dict[str, Any]]:
    runs = study.seeds(arm)
    base_error = study.base.tasks[task].accuracy_se_sampling
    deltas = [study.delta_points(run, task) for run in runs]
    accuracies = [run.tasks[task].accuracy for run in runs]
    yield {"metric": "delta_points", "interval": "seeds"} | _interval_row(deltas, confidence)
    if base_error is not None:
        with_base = _interval_row(deltas, confidence, POINTS * base_error)
        yield {"metric": "delta_points", "interval": "seeds_and_base"} | with_base
    yield {"metric": "accuracy", "interval": "seeds"} | _interval_row(accuracies, confidence)
    if all(task in run.kl for run in runs):
        kl = [run.kl[task].full for run in runs]
        yield {"metric": "kl_full", "interval": "seeds"} | _interval_row(kl, confidence)


def _lost(study: Study, arm: str) -> str:
    return " ".join(map(str, missing_seeds(study, arm)))


def arms_table(study: Study, confidence: float) -> pd.DataFrame:
    """One row per arm, task, metric and kind of interval.

    `interval` says what the interval covers: `seeds` the training seed (with its evaluation samples),
    `seeds_and_base` also the sampling error of the base, which all runs share. `seeds_missing` names the
    seeds that the arm should have and that are not among its `seeds`.
    """
    rows = [
        {"arm": arm, "task": task, "on_task": task == study.on_task, "seeds_missing": _lost(study, arm)} | row
        for arm in study.arms
        for task in study.tasks
        for row in _arm_rows(study, arm, task, confidence)
    ]
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS))


def weights_table(study: Study) -> pd.DataFrame:
    """One row per run: how far its weights moved from the base's."""
    rows = []
    for run in study.runs:
        change = run.weight_change
        names = ("sparsity", "relative_change", "eta", "weights")
        values = {name: None if change is None else getattr(change, name) for name in names}
        rows.append(_label(run) | values | {"weight_hash": run.weight_hash})
    return pd.DataFrame(rows)


def _drift_columns(study: Study, point: Snapshot) -> dict[str, Any]:
    base = study.base.tasks[point.scored.task]
    return {
        "task": point.scored.task,
        "on_task": point.scored.task == study.on_task,
        "step": point.step,
        "samples": point.scored.samples,
        "accuracy": point.scored.accuracy,
        "delta_points": POINTS * (point.scored.accuracy - base.accuracy),
    } | _kl_columns(point.kl)


def drift_table(study: Study) -> pd.DataFrame:
    """One row per run, task and snapshot (the last step included): accuracy, ΔJ and KL to the base in nats.

    `samples`: responses per problem behind the accuracy, the same at every step.
    """
    rows = [
        _label(run) | _drift_columns(study, point)
        for run in study.runs
        for point in sorted(run.drift, key=lambda point: (point.scored.task, point.step))
    ]
    return pd.DataFrame(rows, columns=[*RUN_KEYS, *DRIFT_COLUMNS, *_kl_columns(None)])


def missing_table(study: Study) -> pd.DataFrame:
    """One row per run that no number rests on, and why; no rows where every run is there."""
    rows = [vars(gone.label) | {"reason": gone.reason} for gone in study.missing]
    return pd.DataFrame(rows, columns=list(MISSING_COLUMNS))
