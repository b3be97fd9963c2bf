"""The comparison of the modes in one table: what each gained, how far it moved, what it lost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rlvr.analysis.load import SEED_REPEAT, Study

# Column of the table -> column of metrics.csv, and how that becomes one number of a run.
FROM_METRICS = {
    "training_accuracy": ("accuracy", "last tenth"),
    "lost_update": ("lost_update", "last"),
    "second_moments_stuck": ("second_moments_stuck", "last"),
    "logprob_mismatch_mean": ("logprob_mismatch_mean", "mean"),
    "updates_skipped": ("updates_skipped", "sum"),
    "seconds": ("seconds_step", "sum"),
}
READ_COLUMNS = [column for column, _ in FROM_METRICS.values()]
END_COLUMNS = ("arm", "seed", *FROM_METRICS)
MODE_COLUMNS = (
    "arm", "on_task_delta_points", "on_task_delta_sd", "off_task_delta_points", "off_task_delta_sd",
    "on_task_kl", "off_task_kl", "sparsity", "movable", *FROM_METRICS,
)  # fmt: skip


def read_ends(files: Sequence[str | Path], labels: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """One row for each run of the first repeats: arm, seed and the numbers of `FROM_METRICS`, as floats.

    `labels` are (arm, seed, repeat) of the metrics files, in the same order.
    """
    rows = [
        {"arm": arm, "seed": seed}
        | {name: _end(metrics[column].dropna(), how) for name, (column, how) in FROM_METRICS.items()}
        for file, (arm, seed, rep) in zip(files, labels, strict=True)
        if rep == SEED_REPEAT
        for metrics in [pd.read_csv(file, usecols=READ_COLUMNS)]
    ]
    return pd.DataFrame(rows, columns=list(END_COLUMNS)).astype(dict.fromkeys(FROM_METRICS, float))


def _end(values: pd.Series, how: str) -> float:
    """`last`: the last value; `last tenth`: the mean over the last tenth of the steps; else an aggregate."""
    if how == "last":
        return float(values.iloc[-1:].mean())
    if how == "last tenth":
        return float(values.iloc[-max(1, len(values) // 10) :].mean())
    return float(values.agg(how))


def movable_shares(records: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[Any]]) -> dict[str, float]:
    """The share of the base's weights that one step can move, by arm, from the runs' provenance."""
    return {
        arm: record["movable_fraction_of_base"] for record, (arm, _, _) in zip(records, labels, strict=True)
    }


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _scores(study: Study, arm: str) -> dict[str, float]:
    """ΔJ in points and its sd over seeds; off-task both are means over tasks."""
    on, off = study.deltas(arm, [study.on_task]), study.deltas(arm, study.off_tasks)
    spreads = [side.std(axis=0, ddof=1) if len(side) > 1 else np.array([]) for side in (on, off)]
    return {
        "on_task_delta_points": float(on.mean()),
        "on_task_delta_sd": _mean(spreads[0]),
        "off_task_delta_points": _mean(off.mean(axis=0)),
        "off_task_delta_sd": _mean(spreads[1]),
    }


def _distances(study: Study, arm: str) -> dict[str, float]:
    """KL to the base in nats per response, and the share of weights equal to the base's in bf16."""
    runs = study.seeds(arm)
    kls = [(task == study.on_task, kl.full) for run in runs for task, kl in run.kl.items()]
    changes = [run.weight_change.sparsity for run in runs if run.weight_change is not None]
    return {
        "on_task_kl": _mean([kl for on_task, kl in kls if on_task]),
        "off_task_kl": _mean([kl for on_task, kl in kls if not on_task]),
        "sparsity": _mean(changes),
    }


def modes_table(study: Study, metrics: pd.DataFrame, movable: Mapping[str, float]) -> pd.DataFrame:
    """One row an arm, of its runs that enter seed statistics: means over seeds, off-task over tasks too.

    `metrics` as `read_ends` gives it; `movable`: share of the base's weights that a step can move, by arm.
    `_points` and `_sd` are points of ΔJ, KL nats per response, `sparsity` to `second_moments_stuck` shares
    in [0, 1], the mismatch nats a token, `seconds` of training. NaN where a number is unknown.
    """
    rows = []
    for arm in study.arms:
        seeds = [run.label.seed for run in study.seeds(arm)]
        own = metrics[(metrics["arm"] == arm) & metrics["seed"].isin(seeds)]
        rows.append(
            {"arm": arm, "movable": movable.get(arm)}
            | _scores(study, arm)
            | _distances(study, arm)
            | own[list(FROM_METRICS)].mean().to_dict()
        )
    return pd.DataFrame(rows, columns=list(MODE_COLUMNS))
