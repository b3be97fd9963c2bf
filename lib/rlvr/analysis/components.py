"""Variance components of accuracy: training seed, non-determinism, evaluation sampling."""

from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from rlvr.analysis.load import Run, Study
from rlvr.statistics.components import VarianceComponents, split_half_components, within_group_components
from rlvr.statistics.samples import POINTS

COMPONENT_COLUMNS = (
    "arm", "task", "on_task", "component", "runs", "variance_points2", "variance_low_points2",
    "variance_high_points2", "sd_points", "total_variance_points2", "sampling_variance_points2",
    "sampling_low_points2", "sampling_high_points2", "confidence", "note",
)  # fmt: skip
ONE_SAMPLE = "one sample per problem: sampling noise cannot be taken out"


def _row(name: str, found: VarianceComponents, variance: tuple[float, float, float]) -> dict[str, Any]:
    """A component with its interval (`variance`: estimate, low, high, as shares²), all in points²."""
    estimate, low, high = (POINTS**2 * value for value in variance)
    return {
        "component": name,
        "runs": found.runs,
        "variance_points2": estimate,
        "variance_low_points2": low,
        "variance_high_points2": high,
        "sd_points": float(np.sqrt(estimate)) if estimate >= 0 else None,
        "total_variance_points2": found.total * POINTS**2,
        "sampling_variance_points2": found.sampling * POINTS**2,
        "sampling_low_points2": found.sampling_low * POINTS**2,
        "sampling_high_points2": found.sampling_high * POINTS**2,
        "confidence": found.confidence,
        "note": "below zero: too small to see with these runs" if estimate < 0 else "",
    }


def _between_row(name: str, found: VarianceComponents) -> dict[str, Any]:
    return _row(name, found, (found.between, found.between_low, found.between_high))


def _empty_row(name: str, runs: int, note: str) -> dict[str, Any]:
    return {"component": name, "runs": runs, "note": note}


def _seed_rows(runs: list[Run], task: str, confidence: float) -> list[dict[str, Any]]:
    """The variance between seeds, and what evaluation sampling adds to a run's score."""
    names = ("seed", "evaluation_sampling")
    halves = [half for run in runs if (half := run.tasks[task].accuracy_halves) is not None]
    if len(runs) < 2:
        return [_empty_row(name, len(runs), "one seed only: no variance between seeds") for name in names]
    if len(halves) < len(runs):
        return [_empty_row(name, len(runs), ONE_SAMPLE) for name in names]
    found = split_half_components(halves, confidence)
    sampling = (found.sampling, found.sampling_low, found.sampling_high)
    return [_between_row("seed", found), _row("evaluation_sampling", found, sampling)]


def _repeat_row(groups: list[list[Run]], task: str, confidence: float) -> dict[str, Any]:
    """Non-determinism: what repeats of the same seed differ in."""
    runs = sum(map(len, groups))
    if all(len({run.weight_hash for run in group}) == 1 for group in groups):
        row = _empty_row("non_determinism", runs, "repeats of each seed ended in identical weights")
        zeros = dict.fromkeys(("variance_points2", "variance_low_points2", "variance_high_points2"), 0.0)
        return row | zeros | {"sd_points": 0.0}
    halves = [
        [half for run in group if (half := run.tasks[task].accuracy_halves) is not None] for group in groups
    ]
    if sum(map(len, halves)) < runs:
        return _empty_row("non_determinism", runs, ONE_SAMPLE)
    return _between_row("non_determinism", within_group_components(halves, confidence))


def components_table(study: Study, confidence: float) -> pd.DataFrame:
    """Components of the variance of accuracy per arm and task, in points², with two-sided intervals.

    `seed`: between training seeds; `evaluation_sampling`: of a run's score, from its two halves of the
    samples; `non_determinism`: between repeats of a seed, where there are any. Errors clustered by problem
    are for other problems: they are in runs.csv, and never subtracted here.
    """
    rows = []
    for arm in study.arms:
        all_runs = [run for run in study.runs if run.label.arm == arm]
        by_seed = [list(group) for _, group in groupby(all_runs, key=lambda run: run.label.seed)]
        repeated = [group for group in by_seed if len(group) > 1]
        for task in study.tasks:
            keys = {"arm": arm, "task": task, "on_task": task == study.on_task}
            rows += [keys | row for row in _seed_rows(study.seeds(arm), task, confidence)]
            if repeated:
                rows.append(keys | _repeat_row(repeated, task, confidence))
    return pd.DataFrame(rows, columns=list(COMPONENT_COLUMNS))
