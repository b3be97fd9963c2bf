"""Methods against one another, in pairs by seed, and the verdict on each pair."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rlvr.advantage_study.methods import StudyMethod
from rlvr.advantage_study.scores import finite_scores
from rlvr.alignment.analysis.welch import Difference, paired_difference, verdict_words
from rlvr.statistics.verdicts import holm

NUMBER_COLUMNS = ("difference", "low", "high", "p", "p_holm", "better", "seeds", "verdict", "note")
COMPARISON_COLUMNS = ("part", "method", "reference", *NUMBER_COLUMNS)
NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class Pair:
    """What is compared with what: `labels` are columns of the table, values are by seed."""

    labels: dict[str, str]
    treatment: pd.Series
    reference: pd.Series
    note: str = ""


def compare_pairs(pairs: Sequence[Pair], confidence: float) -> list[dict[str, Any]]:
    """A row per pair; p adjusted by Holm over those of them that could be compared.

    `difference`: treatment minus reference, the mean over the seeds that have both, with the interval and
    two-sided p of the paired t test; `better`: the number of seeds in which the treatment is higher.
    """
    rows, found = [], []
    for pair in pairs:
        one, row = _compare(pair, confidence)
        rows.append(pair.labels | row)
        found.append(one)
    tested = [(row, one) for row, one in zip(rows, found, strict=True) if one is not None]
    for (row, one), adjusted in zip(tested, holm([one.p for _, one in tested]), strict=True):
        row["p_holm"] = adjusted
        row["verdict"] = verdict_words(one, adjusted, confidence)
    return rows


def _compare(pair: Pair, confidence: float) -> tuple[Difference | None, dict[str, Any]]:
    both = pd.concat({"treatment": pair.treatment, "reference": pair.reference}, axis=1).dropna()
    row = dict.fromkeys(NUMBER_COLUMNS, math.nan) | {"seeds": len(both), "verdict": NOT_COMPARED}
    treatment, reference = both["treatment"].to_numpy(float), both["reference"].to_numpy(float)
    row |= {"better": int((treatment > reference).sum()), "note": pair.note}
    every = len(pair.treatment.index.union(pair.reference.index))
    if len(both) < 2:
        row["note"] = "; ".join(filter(None, [pair.note, f"{len(both)} seeds have both, two are needed"]))
        return None, row
    if len(both) < every:
        row["note"] = "; ".join(filter(None, [pair.note, f"{len(both)} of {every} seeds have both"]))
    found = paired_difference(reference, treatment, confidence)
    row |= {"difference": found.difference, "low": found.low, "high": found.high, "p": found.p}
    return found, row


def plain_method(method: StudyMethod, methods: Sequence[StudyMethod]) -> str | None:
    """The method that a variant is a variant of; None if the study has no such."""
    plain = replace(method.method, accumulate=False, statistics="after")
    return next((one.name for one in methods if one.method == plain), None)


def study_pairs(methods: Sequence[StudyMethod]) -> Iterator[tuple[str, str, str]]:
    """Part, method and reference of every comparison of the study.

    comparison: each with batch, and each EMA with the buffer. sweep: each with the buffer. variants: each
    with its own plain method, and the accumulating ones with accumulating batch statistics. A reference that
    is not in the study is left out.
    """
    by_name = {one.name: one for one in methods}
    wanted: list[tuple[str, str, str | None]] = []
    for one in methods:
        if one.part == "comparison":
            wanted.append(("comparison", one.name, "batch"))
            if one.method.tracker == "ema":
                wanted.append(("comparison", one.name, "buffer"))
        elif one.part == "sweep":
            wanted.append(("sweep", one.name, "buffer"))
        else:
            wanted.append(("variants", one.name, plain_method(one, methods)))
            if one.method.accumulate:
                wanted.append(("variants", one.name, "batch-accumulating"))
    for part, method, reference in wanted:
        if reference in by_name and reference != method:
            yield part, method, reference


def comparisons_table(
    methods: Sequence[StudyMethod], scores: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """All comparisons, Holm's adjustment within each part; `scores`: see `scores_table`."""
    by_part: dict[str, list[Pair]] = {}
    for part, method, reference in study_pairs(methods):
        labels = {"part": part, "method": method, "reference": reference}
        own, other = (finite_scores(scores, name) for name in (method, reference))
        by_part.setdefault(part, []).append(Pair(labels, own, other))
    rows = [row for pairs in by_part.values() for row in compare_pairs(pairs, confidence)]
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
