"""The tables of curves, of runs (one trained seed each) and of arms (means over their seeds)."""

import math
from typing import Any

import numpy as np
import pandas as pd

from rlvr.alignment.analysis.load import AlignmentStudy, Arm
from rlvr.statistics.equivalence import mean_interval
from rlvr.statistics.samples import POINTS

CURVE_KEYS = ("method", "arm", "seed", "step", "seconds")
ARM_COLUMNS = (
    "method", "arm", "seeds", "accuracy_mean", "accuracy_low", "accuracy_high", "start_accuracy",
    "gain_points", "gain_low", "gain_high", "entropy_last", "length_last", "grad_norm_mean", "ratio_max",
    "clip_fraction", "diverged", "train_seconds_mean", "updates_mean", "tokens_sampled_mean", "prompt",
    "entropy_first", "examples_mean", "accuracy_seeds", "note",
)  # fmt: skip
# Columns of a run that are its arm's by their mean over seeds.
MEANS = {
    "entropy_last": "entropy", "length_last": "length", "grad_norm_mean": "grad_norm",
    "clip_fraction": "clip_fraction", "train_seconds_mean": "train_seconds", "updates_mean": "updates",
    "tokens_sampled_mean": "tokens_sampled", "entropy_first": "entropy_first", "examples_mean": "examples",
}  # fmt: skip
RUN_COLUMNS = (
    "method", "arm", "seed", "accuracy", "gain", "entropy_first", "entropy", "length", "grad_norm",
    "ratio_max", "clip_fraction", "train_seconds", "updates", "tokens_sampled", "examples", "diverged",
)  # fmt: skip


def finite_mean(values: pd.Series) -> float:
    """The mean of the numbers that are finite; NaN where there is none."""
    return float(values.mean()) if values.notna().any() else math.nan


def _run(study: AlignmentStudy, arm: Arm, final: pd.Series) -> dict[str, Any]:
    seed = int(final["seed"])
    of_seed = arm.validation[arm.validation["seed"] == seed]
    steps = arm.metrics[arm.metrics["seed"] == seed]
    nothing = pd.Series(dtype=float)
    record = arm.records.get(seed, {})
    return {
        "method": arm.method,
        "arm": arm.name,
        "seed": seed,
        "accuracy": final["accuracy"],
        "gain": POINTS * (final["accuracy"] - study.start(arm.prompt)),
        "entropy_first": finite_mean(of_seed.loc[of_seed["step"] == 0].get("entropy_mean", nothing)),
        "entropy": final.get("entropy_mean", math.nan),
        "length": final.get("length_mean", math.nan),
        "grad_norm": finite_mean(steps.get("grad_norm", nothing)),
        "ratio_max": float(steps.get("ratio_max", nothing).max()),
        "clip_fraction": finite_mean(steps.get("clip_fraction", nothing)),
        "train_seconds": final["seconds"],
        **{name: float(record.get(name, math.nan)) for name in ("updates", "tokens_sampled")},
        "examples": float(record.get("examples", {}).get("used", math.nan)),
        "diverged": bool(final["diverged"]),
    }


def runs_table(study: AlignmentStudy) -> pd.DataFrame:
    """One row per finished seed of an arm.

    `accuracy` is a share, `gain` (over the zero-shot accuracy under the arm's own prompt) in points,
    `entropy` in nats a token and `length` in tokens of the last validation. `grad_norm` and `clip_fraction`
    are means over the training steps that have a finite one, `ratio_max` the largest over them. `examples`:
    how many SFT used.
    """
    rows = [_run(study, arm, final) for arm in study.arms.values() for _, final in arm.final.iterrows()]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS))


def runs_of(runs: pd.DataFrame, method: str, arm: str) -> pd.DataFrame:
    """The rows of one arm."""
    return runs[(runs["method"] == method) & (runs["arm"] == arm)]


def curves_table(study: AlignmentStudy) -> pd.DataFrame:
    """The validations of all arms; accuracy as a share."""
    labelled = [
        arm.validation.assign(method=arm.method, arm=arm.name)
        for arm in study.arms.values()
        if len(arm.validation)
    ]
    table = pd.concat(labelled, ignore_index=True) if labelled else pd.DataFrame(columns=list(CURVE_KEYS))
    return table[[*CURVE_KEYS, *(column for column in table if column not in CURVE_KEYS)]]


def _interval(values: pd.Series, confidence: float) -> tuple[float, float, float]:
    """Mean with its t interval over the finite values; limits NaN below two, all NaN without any."""
    finite = values.dropna().to_numpy(dtype=float)
    if len(finite) < 2:
        return finite_mean(values), math.nan, math.nan
    found = mean_interval(finite, confidence)
    return found.mean, found.low, found.high


def _arm(study: AlignmentStudy, arm: Arm, runs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    own = runs_of(runs, arm.method, arm.name)
    accuracy = _interval(own["accuracy"], confidence)
    gain = _interval(own["gain"], confidence)
    row = {"method": arm.method, "arm": arm.name, "seeds": len(own)}
    row |= dict(zip(("accuracy_mean", "accuracy_low", "accuracy_high"), accuracy, strict=True))
    row |= dict(zip(("gain_points", "gain_low", "gain_high"), gain, strict=True))
    row |= {name: finite_mean(own[column].astype(float)) for name, column in MEANS.items()}
    row |= {
        "start_accuracy": study.start(arm.prompt),
        "ratio_max": float(own["ratio_max"].max()) if len(own) else np.nan,
        "diverged": int(own["diverged"].sum()),
        "prompt": arm.prompt,
        "accuracy_seeds": int(own["accuracy"].notna().sum()),
        "note": arm.missing,
    }
    return row


def arms_table(study: AlignmentStudy, runs: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row per arm, those without a seed included; `runs`: see `runs_table`.

    Intervals are Student's over seeds. That of the gain takes the start, the zero-shot accuracy, as exact:
    its sampling error is the same for all arms of a prompt. Seeds that diverged are in all numbers;
    `accuracy_seeds` have a finite accuracy.
    """
    rows = [_arm(study, arm, runs, confidence) for arm in study.arms.values()]
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS))
