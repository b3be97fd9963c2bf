"""All arms of all methods and the zero-shot base, by accuracy."""

import math

import pandas as pd

from rlvr.alignment.analysis.load import AlignmentStudy

ZERO_SHOT = "zero_shot"
LEADERBOARD_COLUMNS = (
    "rank", "method", "arm", "accuracy_mean", "low", "high", "seeds", "train_seconds_mean",
    "tokens_sampled_mean", "updates_mean",
)  # fmt: skip


def leaderboard_table(study: AlignmentStudy, arms: pd.DataFrame) -> pd.DataFrame:
    """One row per arm and per zero-shot prompt, the best first; `arms`: see `arms_table`.

    The base was not trained: it has no seeds and no interval over them. Equal accuracies share a rank; an
    arm without an accuracy comes last, without one.
    """
    base = [
        {
            "method": ZERO_SHOT,
            "arm": prompt,
            "accuracy_mean": study.start(prompt),
            "low": math.nan,
            "high": math.nan,
            "seeds": 0,
            "train_seconds_mean": 0.0,
            "tokens_sampled_mean": 0.0,
            "updates_mean": 0.0,
        }
        for prompt in study.zero_shot
    ]
    trained = arms.rename(columns={"accuracy_low": "low", "accuracy_high": "high"})
    rows = [*base, *trained.to_dict("records")]
    table = pd.DataFrame(rows, columns=[name for name in LEADERBOARD_COLUMNS if name != "rank"])
    table = table.sort_values("accuracy_mean", ascending=False, kind="stable", ignore_index=True)
    ranks = [
        None if pd.isna(rank) else int(rank)
        for rank in table["accuracy_mean"].rank(method="min", ascending=False)
    ]
    table.insert(0, "rank", pd.Series(ranks, dtype=object))
    return table
