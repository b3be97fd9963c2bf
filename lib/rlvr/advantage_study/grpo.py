"""GRPO with each estimator of the advantage: a row per run, and the estimators in pairs by seed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rlvr.advantage_study.comparisons import NUMBER_COLUMNS, Pair, compare_pairs
from rlvr.advantage_study.scores import read_table
from rlvr.statistics.samples import POINTS

GRPO_COLUMNS = (
    "estimator", "seed", "reward_last", "reward_all", "accuracy_start", "accuracy_final", "gain_points",
    "diverged", "steps",
)  # fmt: skip
GRPO_COMPARISON_COLUMNS = ("metric", "estimator", "reference", *NUMBER_COLUMNS)
BATCH, TRACKED = "batch", "per_prompt"
# What is compared, and by how much its values are multiplied.
METRICS = {"reward_last": 1.0, "reward_all": 1.0, "accuracy_final": POINTS}


def grpo_table(
    estimators: Sequence[str],
    metrics_files: Sequence[str | Path],
    validation_files: Sequence[str | Path],
    score_steps: int,
) -> pd.DataFrame:
    """One row per run; files belong to `estimators` in this order, ValueError if their numbers differ.

    `reward_last`: mean training reward over the last `score_steps` steps, `reward_all` over all; accuracies
    are shares, of held-out questions before training (`accuracy_start`) and after it; `gain_points` is their
    difference in points; `steps`: how many were trained.
    """
    rows = []
    for name, metrics_file, validation_file in zip(estimators, metrics_files, validation_files, strict=True):
        metrics = read_table(metrics_file, ("seed", "step", "reward_mean"))
        validation = read_table(validation_file, ("seed", "step", "accuracy", "final", "diverged"))
        for _, own in validation.groupby("seed"):
            seed = int(own["seed"].iloc[0])
            steps = metrics[metrics["seed"] == seed].sort_values("step")
            rows.append({"estimator": name, "seed": seed} | _run(own, steps["reward_mean"], score_steps))
    return pd.DataFrame(rows, columns=list(GRPO_COLUMNS))


def _run(validation: pd.DataFrame, rewards: pd.Series, score_steps: int) -> dict[str, Any]:
    start = _only(validation[validation["step"] == 0], "accuracy")
    final = _only(validation[validation["final"].astype(bool)], "accuracy")
    return {
        "reward_last": float(rewards.iloc[-score_steps:].mean()),
        "reward_all": float(rewards.mean()),
        "accuracy_start": start,
        "accuracy_final": final,
        "gain_points": POINTS * (final - start),
        "diverged": bool(validation["diverged"].astype(bool).any()),
        "steps": len(rewards),
    }


def _only(rows: pd.DataFrame, column: str) -> float:
    return float(rows[column].iloc[-1]) if len(rows) else math.nan


def estimator_pairs(estimators: Sequence[str]) -> dict[str, list[str]]:
    """By reference the estimators that are compared with it.

    All with the first. The tracked ones with `batch` too: it needs no group either, so that only what they
    gain over it is owed to the tracking.
    """
    first, *others = estimators
    pairs = {first: others}
    if BATCH in others:
        pairs[BATCH] = [name for name in others if name.startswith(TRACKED)]
    return {reference: names for reference, names in pairs.items() if names}


def grpo_comparisons_table(estimators: Sequence[str], runs: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The pairs of `estimator_pairs`; accuracy in points; Holm's adjustment within a metric and reference."""
    rows: list[dict[str, Any]] = []
    for reference, names in estimator_pairs(estimators).items():
        for metric, factor in METRICS.items():
            values = {name: factor * _by_seed(runs, name, metric) for name in (reference, *names)}
            rows += compare_pairs(_pairs(metric, reference, values, runs), confidence)
    return pd.DataFrame(rows, columns=list(GRPO_COMPARISON_COLUMNS))


def _by_seed(runs: pd.DataFrame, estimator: str, metric: str) -> pd.Series:
    own = runs[runs["estimator"] == estimator].set_index("seed")[metric].astype(float)
    return own[np.isfinite(own)].sort_index()


def _pairs(metric: str, reference: str, values: Mapping[str, pd.Series], runs: pd.DataFrame) -> list[Pair]:
    return [
        Pair(
            {"metric": metric, "estimator": name, "reference": reference},
            own,
            values[reference],
            "; ".join(filter(None, (diverged_words(runs, one) for one in (name, reference)))),
        )
        for name, own in values.items()
        if name != reference
    ]


def diverged_words(runs: pd.DataFrame, estimator: str) -> str:
    """`1 of 3 seeds of batch diverged`; empty where none has."""
    own = runs.loc[runs["estimator"] == estimator, "diverged"].astype(bool)
    return f"{int(own.sum())} of {len(own)} seeds of {estimator} diverged" if own.any() else ""
