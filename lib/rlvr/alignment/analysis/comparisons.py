"""Every arm of an experiment against the experiment's reference, metric by metric."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rlvr.alignment.analysis.arms import runs_of
from rlvr.alignment.analysis.load import AlignmentStudy, Arm
from rlvr.alignment.analysis.welch import (
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    Difference,
    paired_difference,
    verdict_words,
    welch_difference,
)
from rlvr.alignment.arms import Experiment
from rlvr.config.alignment import ComparisonConfig
from rlvr.statistics.samples import POINTS
from rlvr.statistics.verdicts import holm

COMPARISON_COLUMNS = (
    "method", "experiment", "arm", "reference", "difference_points", "low", "high", "verdict", "metric",
    "p", "n", "p_holm", "n_reference", "unit", "reached", "reached_reference", "note",
)  # fmt: skip
UNITS = {
    "accuracy": "points", "gain": "points", "entropy": "nats per token", "length": "tokens",
    "grad_norm": "gradient norm", "ratio_max": "ratio",
    "train_seconds": "seconds", "seconds_to_level": "seconds", "examples": "examples",
    "accuracy_trend": "Spearman's rho",
}  # fmt: skip
WITH_MARGIN = ("accuracy", "gain")
_OFF_POLICY = ("train_seconds", "seconds_to_level", "entropy", "length")
# What is compared besides accuracy, by (method, experiment).
FURTHER_METRICS = {
    ("sft", "filtered"): ("examples",),
    ("grpo", "length_normalization"): ("grad_norm", "length"),
    ("grpo", "std_normalization"): ("grad_norm",),
    ("grpo", "off_policy_broad"): _OFF_POLICY,
    ("grpo", "off_policy_focused"): _OFF_POLICY,
    ("grpo", "clip"): ("ratio_max", "grad_norm"),
    ("grpo", "prompt"): ("gain",),
}
LEVEL_SHARE = 0.5
SIZES = ("sft", "sizes")
EVERY_SIZE = "every size"
# Comparisons that no experiment of the config names.
AGAINST_SFT, OVER_TRAINING, STEP_0 = "against_sft", "over_training", "step 0"

Row = dict[str, Any]


def seconds_to_level(arm: Arm, level: float) -> pd.Series:
    """Training seconds until the first validation with an accuracy of at least `level`, by seed.

    NaN where a seed never gets there.
    """
    reached = arm.validation[arm.validation["accuracy"] >= level]
    first = reached.sort_values(["seed", "step"]).drop_duplicates("seed").set_index("seed")["seconds"]
    return first.reindex(arm.final["seed"]).astype(float)


def level_of(study: AlignmentStudy, runs: pd.DataFrame, method: str, reference: str) -> float:
    """The start plus half of the reference's mean gain; NaN unless the reference has gained."""
    start = study.start(study.arms[method, reference].prompt)
    gain = float(runs_of(runs, method, reference)["accuracy"].mean()) - start
    return start + LEVEL_SHARE * gain if gain > 0 else math.nan


def _values(
    study: AlignmentStudy, runs: pd.DataFrame, method: str, arm: str, metric: str, level: float
) -> np.ndarray:
    """A metric of every seed of an arm, accuracy in points; NaN where a seed has none."""
    if metric == "seconds_to_level":
        return seconds_to_level(study.arms[method, arm], level).to_numpy()
    values = runs_of(runs, method, arm)[metric].to_numpy(dtype=float)
    return POINTS * values if metric == "accuracy" else values


def _condition(study: AlignmentStudy, runs: pd.DataFrame, method: str, arm: str) -> str:
    """What a reader must know of an arm: seeds that diverged, and those that are missing."""
    own = runs_of(runs, method, arm)
    diverged = int(own["diverged"].sum())
    words = [f"{diverged} of {len(own)} seeds of {arm} diverged"] if diverged else []
    missing = study.arms[method, arm].missing
    return "; ".join([*words, *([f"{arm}: {missing}"] if missing else [])])


def _row(method: str, experiment: str, arm: str, reference: str, metric: str) -> Row:
    empty = dict.fromkeys(("difference_points", "low", "high", "p", "p_holm"), math.nan)
    labels = {
        "method": method,
        "experiment": experiment,
        "arm": arm,
        "reference": reference,
        "metric": metric,
    }
    return dict.fromkeys(COMPARISON_COLUMNS, "") | labels | empty | {"unit": UNITS[metric], "n": 0}


def _fill(row: Row, found: Difference) -> None:
    row |= {"difference_points": found.difference, "low": found.low, "high": found.high, "p": found.p}


def _judge(rows: Sequence[Row], found: Sequence[Difference | None], confidence: float) -> None:
    """Adjust the p values of the rows that have one for their number, and give the verdicts."""
    tested = [(row, one) for row, one in zip(rows, found, strict=True) if one is not None]
    for (row, one), adjusted in zip(tested, holm([one.p for _, one in tested]), strict=True):
        row["p_holm"] = adjusted
        row["verdict"] = verdict_words(one, adjusted, confidence)


def _compare(
    row: Row, reference: np.ndarray, treatment: np.ndarray, config: ComparisonConfig, notes: Iterable[str]
) -> Difference | None:
    """Fill a row's numbers; None, and a note, where either side has fewer than two finite values."""
    metric, notes = row["metric"], [note for note in notes if note]
    finite = [values[np.isfinite(values)] for values in (reference, treatment)]
    row["n_reference"], row["n"] = map(len, finite)
    comparable = min(map(len, finite)) >= 2
    if metric == "seconds_to_level":
        row["reached_reference"], row["reached"] = map(len, finite)
        # The seeds that never get there are the slowest: a mean over the others would flatter their arm.
        comparable &= len(finite[0]) == len(reference) and len(finite[1]) == len(treatment)
        if not comparable:
            notes.append("not compared: too few seeds, or some never reach the level")
    elif not comparable:
        notes.append("fewer than two seeds with this number")
    row["note"] = "; ".join(notes)
    if not comparable:
        return None
    margin = config.margin_points if metric in WITH_MARGIN else None
    found = welch_difference(finite[0], finite[1], config.confidence, margin)
    _fill(row, found)
    return found


def _experiment_rows(
    study: AlignmentStudy, runs: pd.DataFrame, experiment: Experiment, config: ComparisonConfig
) -> list[Row]:
    method, reference = experiment.method, experiment.arms[0]
    level = level_of(study, runs, method, reference)
    rows: list[Row] = []
    for metric in ("accuracy", *FURTHER_METRICS.get((method, experiment.name), ())):
        base = _values(study, runs, method, reference, metric, level)
        family = [_row(method, experiment.name, arm, reference, metric) for arm in experiment.arms[1:]]
        found = [
            _compare(
                row,
                base,
                _values(study, runs, method, row["arm"], metric, level),
                config,
                (_condition(study, runs, method, arm) for arm in (row["arm"], reference)),
            )
            for row in family
        ]
        _judge(family, found, config.confidence)
        rows += family
    return rows


def best_arm(arms: pd.DataFrame, method: str, among: Collection[str] | None = None) -> str | None:
    """The arm of a method (of those in `among`) with the highest mean accuracy; None where none has one.

    One with a diverged seed, whose accuracy may be that of weights from before, only if all others have too.
    """
    own = arms[(arms["method"] == method) & arms["accuracy_mean"].notna()]
    if among is not None:
        own = own[own["arm"].isin(among)]
    if (own["diverged"] == 0).any():
        own = own[own["diverged"] == 0]
    return None if own.empty else str(own["arm"].iloc[own["accuracy_mean"].argmax()])


def _against_sft(
    study: AlignmentStudy, runs: pd.DataFrame, arms: pd.DataFrame, config: ComparisonConfig
) -> list[Row]:
    """Every arm of expert iteration against the best of SFT, which its own luck has helped to the top."""
    best = best_arm(arms, "sft")
    if best is None:
        return []
    base = _values(study, runs, "sft", best, "accuracy", math.nan)
    names = [arm for method, arm in study.arms if method == "expert_iteration"]
    family = [_row("expert_iteration", AGAINST_SFT, arm, f"sft/{best}", "accuracy") for arm in names]
    luck = "the reference is the best of its method by the same numbers, so its mean is flattered"
    found = [
        _compare(
            row,
            base,
            _values(study, runs, "expert_iteration", row["arm"], "accuracy", math.nan),
            config,
            (_condition(study, runs, "expert_iteration", row["arm"]), luck),
        )
        for row in family
    ]
    _judge(family, found, config.confidence)
    return family


def _over_training(study: AlignmentStudy, runs: pd.DataFrame, config: ComparisonConfig) -> list[Row]:
    """How the entropy of each arm of expert iteration changes from its first validation to its last."""
    names = [arm for method, arm in study.arms if method == "expert_iteration"]
    family = [_row("expert_iteration", OVER_TRAINING, arm, STEP_0, "entropy") for arm in names]
    found: list[Difference | None] = []
    for row in family:
        pairs = runs_of(runs, "expert_iteration", row["arm"])[["entropy_first", "entropy"]]
        first, last = pairs.dropna().to_numpy(dtype=float).reshape(-1, 2).T
        row |= {"n": len(last), "n_reference": len(first)}
        row["note"] = _condition(study, runs, "expert_iteration", row["arm"])
        found.append(paired_difference(first, last, config.confidence) if len(first) >= 2 else None)
        if found[-1] is not None:
            _fill(row, found[-1])
    _judge(family, found, config.confidence)
    return family


def _size_trend(study: AlignmentStudy, runs: pd.DataFrame, config: ComparisonConfig) -> list[Row]:
    """Spearman's correlation of accuracy with the number of examples, over the seeds of all sizes."""
    chosen = [one for one in study.experiments if (one.method, one.name) == SIZES]
    if not chosen:
        return []
    row = _row(*SIZES, EVERY_SIZE, chosen[0].arms[0], "accuracy_trend")
    # Ranks are all that counts, so that `all` examples may stand as infinitely many.
    sizes = {arm: study.arms["sft", arm].settings.get("size") or math.inf for arm in chosen[0].arms}
    own = runs[(runs["method"] == "sft") & runs["arm"].isin(sizes)].dropna(subset="accuracy")
    row["n"] = len(own)
    if own["arm"].nunique() < 2 or own["accuracy"].nunique() < 2:
        return [row | {"note": "a trend needs two sizes and two different accuracies"}]
    found = stats.spearmanr(own["arm"].map(sizes), own["accuracy"])
    rho, p = float(found.statistic), float(found.pvalue)
    shown = p <= 1 - config.confidence
    row |= {"difference_points": rho, "p": p, "p_holm": p}
    row["verdict"] = (HIGHER if rho > 0 else LOWER) if shown else NO_DIFFERENCE
    return [row]


def comparisons_table(
    study: AlignmentStudy, runs: pd.DataFrame, arms: pd.DataFrame, config: ComparisonConfig
) -> pd.DataFrame:
    """One row per experiment, arm and metric; `runs` and `arms`: see `rlvr.alignment.analysis.arms`.

    `difference_points` is arm minus reference in `unit`: points for accuracy and gain, else that of the
    metric. `p` is two-sided (Welch), `p_holm` adjusted for the arms of the experiment. Without numbers where
    a side has fewer than two finite values. `reached`: seeds that come to the level of seconds_to_level, the
    start plus half of the reference's mean gain.
    """
    rows = [row for one in study.experiments for row in _experiment_rows(study, runs, one, config)]
    rows += _size_trend(study, runs, config)
    rows += _against_sft(study, runs, arms, config)
    rows += _over_training(study, runs, config)
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
