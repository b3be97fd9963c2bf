"""The analysis of the precision study: from evaluation files to tables, intervals and verdicts."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rlvr.analysis.divergence import divergence
from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.hypothesis import Hypothesis
from rlvr.analysis.load import Study, load_study
from rlvr.analysis.performance import on_task_equivalence, on_task_gain
from rlvr.analysis.tables import arms_table, components_table, drift_table, runs_table, weights_table
from rlvr.analysis.variability import off_task_variability
from rlvr.config.precision import AnalysisConfig
from rlvr.files import atomic_path, write_json

log = logging.getLogger(__name__)


def _write_table(table: pd.DataFrame, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")


def judge_hypotheses(study: Study, config: AnalysisConfig) -> list[Hypothesis]:
    """H1, H2 and H3 of every arm against the reference, whole claims and parts."""
    found = []
    for arm in study.treatments:
        found += [on_task_equivalence(study, config, arm)]
        found += off_task_variability(study, config, arm)
        found += divergence(study, config, arm)
    return found


def analyse_precision_study(
    config: AnalysisConfig,
    on_task: str,
    base_files: Sequence[str | Path],
    run_files: Sequence[str | Path],
    files: AnalysisFiles,
) -> None:
    """Write the tables and verdicts of a study from the suites of its base and of its runs.

    The same inputs give the same bytes. UserError where runs, tasks or the reference arm are missing.
    """
    study = load_study(base_files, run_files, on_task, config.reference)
    log.info("%d runs of %s on %s", len(study.runs), ", ".join(study.arms), ", ".join(study.tasks))
    _write_table(runs_table(study), files.runs)
    _write_table(arms_table(study, config.confidence), files.arms)
    _write_table(weights_table(study), files.weights)
    _write_table(drift_table(study), files.drift)
    _write_table(components_table(study), files.variance_components)
    write_json(files.gain, [on_task_gain(study, config, arm) for arm in study.arms])
    claims = judge_hypotheses(study, config)
    write_json(files.hypotheses, [claim.record() for claim in claims])
    for claim in claims:
        if claim.headline:
            log.info("%s %s: %s. %s", claim.id, claim.arm, claim.verdict, claim.sentence)
