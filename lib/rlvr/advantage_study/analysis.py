"""The analysis of the advantage study: from the results of its runs to tables and findings."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rlvr.advantage_study.comparisons import comparisons_table
from rlvr.advantage_study.files import AdvantageAnalysisFiles
from rlvr.advantage_study.findings import findings
from rlvr.advantage_study.grpo import grpo_comparisons_table, grpo_table
from rlvr.advantage_study.methods import StudyMethod
from rlvr.advantage_study.scores import methods_table, scores_table
from rlvr.advantage_study.words import Tables
from rlvr.files import write_csv, write_json
from rlvr.table_rows import table_records, table_rows

log = logging.getLogger(__name__)

WHOLE = {"buffer_size", "min_count"}


def analyse_advantage_study(
    methods: Sequence[StudyMethod],
    score_files: Sequence[str | Path],
    estimators: Sequence[str],
    metrics_files: Sequence[str | Path],
    validation_files: Sequence[str | Path],
    score_steps: int,
    confidence: float,
    files: AdvantageAnalysisFiles,
) -> None:
    """Write tables and findings; the same inputs give the same bytes.

    `score_files` belong to `methods`, `metrics_files` and `validation_files` to `estimators`, in this order.
    A seed without a finite score is named in the tables and left out of the numbers. UserError where a file
    lacks a column.
    """
    scores = scores_table(methods, score_files)
    runs = grpo_table(estimators, metrics_files, validation_files, score_steps)
    tables = Tables(
        methods=methods_table(methods, scores, confidence),
        scores=scores,
        comparisons=comparisons_table(methods, scores, confidence),
        grpo=runs,
        grpo_comparisons=grpo_comparisons_table(estimators, runs, confidence),
        estimators=tuple(estimators),
        score_steps=score_steps,
        confidence=confidence,
    )
    log.info("%d methods, %d runs; %d runs of GRPO", len(methods), len(scores), len(runs))
    for row in table_rows(tables.methods[tables.methods["note"] != ""]):
        log.warning("%s: %s", row.method, row.note)
    for name in ("scores", "methods", "comparisons", "grpo", "grpo_comparisons"):
        _write_table(getattr(files, name), getattr(tables, name))
    told = findings(tables)
    write_json(files.findings, told)
    for one in told:
        log.info("%s: %s", one["group"], " ".join(one["sentences"]))


def _write_table(path: str | Path, table: pd.DataFrame) -> None:
    rows = table_records(table)
    for row in rows:  # a column of whole numbers with gaps is one of floats to pandas
        row |= {name: int(row[name]) for name in WHOLE & row.keys() if row[name] == row[name]}
    write_csv(path, [str(name) for name in table], rows)
