"""The tables of scores on the reference problem: a row per run, and a row per method."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.advantage_study.methods import Method, StudyMethod
from rlvr.errors import UserError
from rlvr.statistics.equivalence import mean_interval
from rlvr.table_rows import table_rows

SETTING_COLUMNS = (
    "method",
    "part",
    "tracker",
    "buffer_size",
    "min_count",
    "decay",
    "accumulate",
    "statistics",
)
SCORE_COLUMNS = (*SETTING_COLUMNS, "seed", "score")
METHOD_COLUMNS = (*SETTING_COLUMNS, "seeds", "score_mean", "score_sd", "score_low", "score_high", "note")
# The settings that a tracker does not have.
WITHOUT = {
    "batch": ("buffer_size", "min_count", "decay", "statistics"),
    "buffer": ("decay",),
    "ema": ("buffer_size", "statistics"),
}


def setting_columns(method: StudyMethod) -> dict[str, Any]:
    """The columns that say what a method is; NaN in the settings that its tracker does not have."""
    own: Method = method.method
    settings = {name: getattr(own, name) for name in SETTING_COLUMNS[2:]}
    settings |= dict.fromkeys(WITHOUT[own.tracker], math.nan)
    return {"method": method.name, "part": method.part, **settings}


def read_table(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV; UserError names the file and the columns that it lacks."""
    try:
        table = pd.read_csv(path)
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: the file is empty; columns needed: {', '.join(columns)}") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; it has {', '.join(map(str, table))}")
    return table


def scores_table(methods: Sequence[StudyMethod], score_files: Sequence[str | Path]) -> pd.DataFrame:
    """One row per run; `score_files` (seed, score) belong to `methods` in this order.

    ValueError if their numbers differ; UserError names a file with a seed twice or without its columns.
    """
    rows: list[dict[str, Any]] = []
    for method, path in zip(methods, score_files, strict=True):
        table = read_table(path, ("seed", "score"))
        if table["seed"].duplicated().any():
            twice = int(table.loc[table["seed"].duplicated(), "seed"].iloc[0])
            raise UserError(f"{path}: seed {twice} stands there more than once")
        labels = setting_columns(method)
        rows += [labels | {"seed": int(row.seed), "score": float(row.score)} for row in table_rows(table)]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def finite_scores(scores: pd.DataFrame, method: str) -> pd.Series:
    """The scores of a method that are finite numbers, by seed."""
    own = scores[scores["method"] == method].set_index("seed")["score"].astype(float)
    return own[own.abs() < math.inf].sort_index()


def missing_words(values: pd.Series, seeds: Sequence[int]) -> str:
    """`no finite number of seed 3, 7`; empty where every seed has one; `values` are by seed."""
    without = [str(seed) for seed in seeds if seed not in values.index]
    words = [f"no finite number of seed {', '.join(without)}"] if without else []
    if len(values) < 2:
        words.append("fewer than two seeds, so no interval")
    return "; ".join(words)


def mean_columns(values: pd.Series, confidence: float) -> tuple[float, float, float, float]:
    """Mean, standard deviation (ddof 1) and limits of Student's interval; NaN where there is none."""
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.nan, math.nan, math.nan
    found = mean_interval(values.to_numpy(), confidence)
    return found.mean, found.sd, found.low, found.high


def methods_table(methods: Sequence[StudyMethod], scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row per method, those without a run included; `note` names seeds that are missing."""
    rows = []
    for method in methods:
        values = finite_scores(scores, method.name)
        numbers = mean_columns(values, confidence)
        rows.append(
            setting_columns(method)
            | {"seeds": len(values)}
            | dict(zip(("score_mean", "score_sd", "score_low", "score_high"), numbers, strict=True))
            | {"note": missing_words(values, range(1, method.seeds + 1))}
        )
    return pd.DataFrame(rows, columns=list(METHOD_COLUMNS))
