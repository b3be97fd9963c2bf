"""The analysis of the precision study: from evaluation files to tables, intervals and verdicts."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.analysis.components import components_table
from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.judging import judge_hypotheses
from rlvr.analysis.load import MissingRun, Study, load_study, run_name
from rlvr.analysis.metrics import metrics_fault
from rlvr.analysis.modes import modes_table, movable_shares, read_ends
from rlvr.analysis.performance import on_task_gain
from rlvr.analysis.predictions import predictions_table
from rlvr.analysis.progress import matches_table
from rlvr.analysis.tables import arms_table, drift_table, missing_table, runs_table, weights_table
from rlvr.config.precision import AnalysisConfig
from rlvr.evaluation.records import RunLabel
from rlvr.files import atomic_path, read_json, write_json

log = logging.getLogger(__name__)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV, numbers with ten digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")


def write_analysis(
    study: Study,
    config: AnalysisConfig,
    files: AnalysisFiles,
    ends: pd.DataFrame,
    movable: Mapping[str, float],
) -> None:
    """Write the tables and verdicts of a study; the same study gives the same bytes.

    `ends` and `movable` are those of `modes_table`.
    """
    log.info("%d runs of %s on %s", len(study.runs), ", ".join(study.arms), ", ".join(study.tasks))
    for gone in study.missing:
        log.warning("%s is left out: %s", run_name(gone.label), gone.reason)
    write_table(missing_table(study), files.missing)
    write_table(runs_table(study), files.runs)
    write_table(arms_table(study, config.confidence), files.arms)
    write_table(modes_table(study, ends, movable), files.modes)
    write_table(weights_table(study), files.weights)
    write_table(drift_table(study), files.drift)
    write_table(components_table(study, config.confidence), files.variance_components)
    write_table(matches_table(study, config), files.matches)
    write_json(files.gain, [on_task_gain(study, config, arm) for arm in study.arms])
    claims = judge_hypotheses(study, config)
    write_table(predictions_table(study, config, claims), files.predictions)
    write_json(files.hypotheses, [claim.record() for claim in claims])
    for claim in claims:
        if claim.headline:
            log.info(
                "%s %s (equal %s): %s. %s", claim.id, claim.arm, claim.basis, claim.verdict, claim.sentence
            )


def analyse_precision_study(
    config: AnalysisConfig,
    on_task: str,
    base_files: Sequence[str | Path],
    run_files: Sequence[str | Path],
    files: AnalysisFiles,
    metrics_files: Sequence[str | Path] = (),
    metrics_labels: Sequence[Sequence[Any]] = (),
    provenance_files: Sequence[str | Path] = (),
) -> None:
    """Write the tables and verdicts of a study from the suites of its base and of its runs.

    `metrics_labels` are (arm, seed, repeat) of the metrics and of the provenance files, in the same order;
    policies trained elsewhere have neither. The same inputs give the same bytes. UserError where tasks or
    the reference arm are missing; a run with a number that is not finite is left out and named.
    """
    labelled = zip(metrics_files, metrics_labels, strict=True)
    faults = {RunLabel(*label): metrics_fault(Path(file)) for file, label in labelled}
    missing = [MissingRun(label, fault) for label, fault in faults.items() if fault]
    study = load_study(base_files, run_files, on_task, config.reference, missing)
    movable = movable_shares([read_json(file) for file in provenance_files], metrics_labels)
    write_analysis(study, config, files, read_ends(metrics_files, metrics_labels), movable)
