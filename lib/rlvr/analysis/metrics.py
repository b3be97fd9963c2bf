"""What is wrong with a run's metrics.csv: a NaN is written as an empty cell, and few cells may be empty."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

# Measured on the batch that a step trains on: empty where the step made no update.
OF_THE_BATCH = (
    "loss", "entropy", "logprob_mismatch_mean", "logprob_mismatch_max",
    "importance_weight_mean", "loss_scale", "advantage_tracked",
)  # fmt: skip
# Measured every so many steps.
OF_SOME_STEPS = ("kl_base_k1", "kl_base_k3")
# Empty as those of the batch, and in all steps where the loss has no ratio of probabilities.
OF_THE_RATIO = ("clip_fraction", "ratio_max")
# Empty where no update was applied: there was none, or all were skipped because the gradient overflowed.
OF_APPLIED_UPDATES = ("grad_norm",)
# Empty until a gradient other than zero was applied: before it nothing was intended and no moment exists.
OF_THE_MOMENTS = ("updates_lost", "lost_update", "second_moments_stuck")


def _may_be_empty(table: pd.DataFrame, column: str) -> Mask:
    """The steps, as booleans, in which a column has no value for a good reason."""
    no_update = table["updates"].to_numpy() == 0
    if column in OF_THE_BATCH:
        return no_update
    if column in OF_SOME_STEPS:
        return np.ones(len(table), dtype=bool)
    if column in OF_THE_RATIO:
        return no_update | table[column].isna().all()
    if column in OF_APPLIED_UPDATES:
        return table["updates"].to_numpy() == table["updates_skipped"].to_numpy()
    if column in OF_THE_MOMENTS:
        return ~np.logical_or.accumulate(table["grad_norm"].to_numpy() > 0)
    return np.zeros(len(table), dtype=bool)


def metrics_fault(path: Path) -> str:
    """What is wrong with a run's metrics.csv, by step and column; "" if nothing is, or there is no file.

    Every number must be finite; a cell may be empty only where `_may_be_empty` says why.
    """
    if not path.exists():
        return ""
    table = pd.read_csv(path)
    numbers = table.to_numpy(np.float64)
    missing, infinite = np.isnan(numbers), np.isinf(numbers)
    for index in np.flatnonzero((missing | infinite).any(axis=0)):
        column = table.columns[int(index)]
        broken = infinite[:, index] | (missing[:, index] & ~_may_be_empty(table, column))
        if broken.any():
            step = table["step"].to_numpy()[broken][0]
            return f"{column} of step {step} in {path} is not a finite number"
    return ""
