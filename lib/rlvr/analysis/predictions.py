"""What the source study predicts of each arm, beside what was found."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from rlvr.analysis.divergence import HOLM
from rlvr.analysis.divergence_words import LARGER, MORE_VARIABLE, ON_TASK, WHOLE
from rlvr.analysis.hypothesis import Hypothesis
from rlvr.analysis.load import Study
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.equivalence import mean_interval
from rlvr.statistics.verdicts import either_verdict

# Share of weights that RL leaves as they are in bf16 view, as the source study has it from published models.
PUBLISHED_SPARSITY = (0.36, 0.92)
AGREES = {"supported": "yes", "refuted": "no", "inconclusive": "unclear"}
PREDICTION_COLUMNS = (
    "quantity", "arm", "reference", "basis", "prediction", "found", "low", "high", "agrees", "how",
)  # fmt: skip
# (hypothesis, part) -> what is predicted of which quantity.
PREDICTED = {
    ("H1", "on-task equivalence"): ("E[ΔJ] on-task", "alike"),
    ("H2", "off-task variability"): ("Var[ΔJ] off-task", "ratio above 1"),
    ("H3", WHOLE): ("KL", "alike on-task, larger or more variable off-task"),
    ("H3", ON_TASK): ("KL on-task", "alike"),
    ("H3", LARGER): ("KL off-task, size", "larger"),
    ("H3", MORE_VARIABLE): ("KL off-task, variability", "more variable"),
}
# Halves of one prediction, of which either is enough: none agrees or disagrees alone.
HALF_PARTS = (LARGER, MORE_VARIABLE)


def _keys(claim: Hypothesis) -> dict[str, Any]:
    return {"arm": claim.arm, "reference": claim.reference, "basis": claim.basis}


def _claim_row(claim: Hypothesis) -> dict[str, Any]:
    quantity, prediction = PREDICTED[claim.id, claim.part]
    what = "the verdict that both parts share" if claim.part == WHOLE else claim.effect_name
    how = "; ".join(part for part in (what, claim.test, claim.reason, claim.caveat) if part)
    agrees = "" if claim.part in HALF_PARTS else AGREES[claim.verdict]
    return _keys(claim) | {
        "quantity": quantity, "prediction": prediction, "found": claim.effect, "low": claim.low,
        "high": claim.high, "agrees": agrees, "how": how,
    }  # fmt: skip


def _off_task_row(halves: Sequence[Hypothesis]) -> dict[str, Any]:
    """The prediction of which the two halves are the detail."""
    reasons = dict.fromkeys(half.reason for half in halves if half.reason)
    return _keys(halves[0]) | {
        "quantity": "KL off-task", "prediction": "larger, or more variable",
        "agrees": AGREES[either_verdict([half.verdict for half in halves])],
        "how": "; ".join(["either half, shown below", HOLM, *reasons]),
    }  # fmt: skip


def _claim_rows(claims: Sequence[Hypothesis]) -> list[dict[str, Any]]:
    """A row a claim, and one before the two halves of the prediction for off-task KL."""
    rows = []
    for halved, group in groupby(claims, key=lambda claim: claim.part in HALF_PARTS):
        own = list(group)
        rows += [_off_task_row(own)] if halved else []
        rows += [_claim_row(claim) for claim in own]
    return rows


def _sparsity_row(study: Study, arm: str, confidence: float) -> dict[str, Any]:
    """An arm's mean share of weights that equal the base's in bf16, with its interval over seeds."""
    low, high = PUBLISHED_SPARSITY
    row: dict[str, Any] = {
        "quantity": "update sparsity in bf16 view", "arm": arm, "reference": "base", "basis": "steps",
        "prediction": f"{100 * low:.0f} to {100 * high:.0f} %", "agrees": "unclear",
        "how": "mean over seeds of the share of weights equal to the base's in bf16",
    }  # fmt: skip
    shares = [run.weight_change.sparsity for run in study.seeds(arm) if run.weight_change is not None]
    if len(shares) < 2:
        return row | {"found": shares[0] if shares else None, "how": row["how"] + "; fewer than two seeds"}
    found = mean_interval(shares, confidence)
    if low <= found.low and found.high <= high:
        row["agrees"] = "yes"
    elif found.high < low or found.low > high:
        row["agrees"] = "no"
    return row | {"found": found.mean, "low": found.low, "high": found.high}


def predictions_table(study: Study, config: AnalysisConfig, claims: list[Hypothesis]) -> pd.DataFrame:
    """One row per arm, prediction and basis: `agrees` follows the verdict, or for sparsity the interval.

    It is empty in the two rows that detail the one above them, of KL off-task.
    """
    whole = [claim for claim in claims if claim.headline or claim.id == "H3"]
    rows = _claim_rows(whole)
    rows += [_sparsity_row(study, arm, config.confidence) for arm in study.arms]
    return pd.DataFrame(rows, columns=list(PREDICTION_COLUMNS))
