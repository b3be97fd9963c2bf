"""The analysis of the alignment study: from the results of its arms to tables and findings."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rlvr.alignment.analysis.arms import arms_table, curves_table, runs_table
from rlvr.alignment.analysis.comparisons import comparisons_table
from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.analysis.findings import findings
from rlvr.alignment.analysis.leaderboard import leaderboard_table
from rlvr.alignment.analysis.load import ArmSource, load_alignment_study
from rlvr.alignment.arms import Experiment
from rlvr.config.alignment import ComparisonConfig
from rlvr.files import write_csv, write_json
from rlvr.table_rows import table_records

log = logging.getLogger(__name__)


def _write_table(path: str | Path, table: pd.DataFrame) -> None:
    write_csv(path, [str(name) for name in table], table_records(table))


def analyse_alignment_study(
    config: ComparisonConfig,
    experiments: Sequence[Experiment],
    arms: Sequence[Sequence[str]],
    validation_files: Sequence[str | Path],
    metrics_files: Sequence[str | Path],
    provenance_files: Sequence[str | Path],
    prompts: Sequence[str],
    zero_shot_files: Sequence[str | Path],
    prompt: str,
    seeds: int,
    files: AlignmentAnalysisFiles,
) -> None:
    """Write the tables and findings of a study; the same inputs give the same bytes.

    `arms` are (method, arm), to which the validation, metrics and provenance files belong in this order, as
    the zero-shot validation files do to `prompts`. `prompt` is that of arms that set none; `seeds`: how many
    each arm should have. What is missing is named in the tables and left out of the numbers. UserError where
    an experiment names an arm that is not among `arms`, or a table lacks a column.
    """
    given = zip(arms, validation_files, metrics_files, provenance_files, strict=True)
    sources = [ArmSource(method, arm, *paths) for (method, arm), *paths in given]
    zero_shot = dict(zip(prompts, zero_shot_files, strict=True))
    study = load_alignment_study(sources, zero_shot, experiments, prompt, seeds)
    log.info("%d arms, %d experiments", len(study.arms), len(study.experiments))
    for arm in study.arms.values():
        if arm.missing:
            log.warning("%s/%s: %s", arm.method, arm.name, arm.missing)
    runs = runs_table(study)
    arm_rows = arms_table(study, runs, config.confidence)
    compared = comparisons_table(study, runs, arm_rows, config)
    leaders = leaderboard_table(study, arm_rows)
    _write_table(files.curves, curves_table(study))
    _write_table(files.arms, arm_rows)
    _write_table(files.comparisons, compared)
    _write_table(files.leaderboard, leaders)
    told = findings(study, arm_rows, compared, leaders, config)
    write_json(files.findings, {group: one.record() for group, one in told.items()})
    for group, one in told.items():
        log.info("%s: %s", group, " ".join(one.sentences))
