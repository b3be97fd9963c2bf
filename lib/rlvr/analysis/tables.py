"""The tidy tables of the precision study."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from rlvr.analysis.load import POINTS, Run, Study
from rlvr.evaluation.records import KlResult, TaskResult
from rlvr.statistics.components import VarianceComponents, split_half_components, within_group_components
from rlvr.statistics.equivalence import mean_interval

# Columns of runs.csv that begin so name the strata of problems.
BASE_STRATUM = "base_accuracy_"
RUN_KEYS = ("arm", "seed", "rep")
ARM_COLUMNS = ("arm", "task", "on_task", "metric", "interval", "seeds", "mean", "sd", "low", "high")
COMPONENT_COLUMNS = (
    "arm", "task", "on_task", "component", "runs", "variance_points2", "sd_points", "total_variance_points2",
    "sampling_variance_points2", "note",
)  # fmt: skip


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


def arms_table(study: Study, confidence: float) -> pd.DataFrame:
    """One row per arm, task, metric and kind of interval.

    `interval` says what the interval covers: `seeds` the training seed (with its evaluation samples),
    `seeds_and_base` also the sampling error of the base, which all runs share.
    """
    rows = [
        {"arm": arm, "task": task, "on_task": task == study.on_task} | row
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


def drift_table(study: Study) -> pd.DataFrame:
    """One row per run, task and snapshot (the last step included): KL to the base in nats per response."""
    rows = [
        _label(run)
        | {"task": point.kl.task, "on_task": point.kl.task == study.on_task, "step": point.step}
        | _kl_columns(point.kl)
        for run in study.runs
        for point in sorted(run.drift, key=lambda point: (point.kl.task, point.step))
    ]
    return pd.DataFrame(rows, columns=[*RUN_KEYS, "task", "on_task", "step", *_kl_columns(None)])


def _component_row(name: str, found: VarianceComponents, note: str) -> dict[str, Any]:
    """Variances in points²; sd is empty where the estimate is negative."""
    between = found.between * POINTS**2
    return {
        "component": name,
        "runs": found.runs,
        "variance_points2": between,
        "sd_points": float(np.sqrt(between)) if between >= 0 else None,
        "total_variance_points2": found.total * POINTS**2,
        "sampling_variance_points2": found.sampling * POINTS**2,
        "note": note or ("below zero: too small to see with these runs" if between < 0 else ""),
    }


def _empty_row(name: str, runs: int, note: str) -> dict[str, Any]:
    return {"component": name, "runs": runs, "note": note}


def _seed_row(runs: list[Run], task: str) -> dict[str, Any]:
    halves = [run.tasks[task].accuracy_halves for run in runs]
    if len(runs) < 2:
        return _empty_row("seed", len(runs), "one seed only: no variance between seeds")
    if None in halves:
        return _empty_row("seed", len(runs), "one sample per problem: sampling noise cannot be taken out")
    return _component_row("seed", split_half_components(halves), "")


def _repeat_row(groups: list[list[Run]], task: str) -> dict[str, Any]:
    """Non-determinism: what repeats of the same seed differ in."""
    runs = sum(map(len, groups))
    if all(len({run.weight_hash for run in group}) == 1 for group in groups):
        row = _empty_row("non_determinism", runs, "repeats of each seed ended in identical weights")
        return row | {"variance_points2": 0.0, "sd_points": 0.0}
    halves = [[run.tasks[task].accuracy_halves for run in group] for group in groups]
    if any(None in group for group in halves):
        return _empty_row(
            "non_determinism", runs, "one sample per problem: sampling noise cannot be taken out"
        )
    return _component_row("non_determinism", within_group_components(halves), "")


def components_table(study: Study) -> pd.DataFrame:
    """Variance components of accuracy per arm and task, in points²: seed, and repeats where there are any."""
    rows = []
    for arm in study.arms:
        all_runs = [run for run in study.runs if run.label.arm == arm]
        by_seed = [list(group) for _, group in groupby(all_runs, key=lambda run: run.label.seed)]
        repeated = [group for group in by_seed if len(group) > 1]
        for task in study.tasks:
            keys = {"arm": arm, "task": task, "on_task": task == study.on_task}
            rows.append(keys | _seed_row(study.seeds(arm), task))
            if repeated:
                rows.append(keys | _repeat_row(repeated, task))
    return pd.DataFrame(rows, columns=list(COMPONENT_COLUMNS))
