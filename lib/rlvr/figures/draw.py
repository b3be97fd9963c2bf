"""Draw all figures of the precision study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.analysis.files import AnalysisFiles
from rlvr.config.precision import AnalysisConfig
from rlvr.figures.curves import kl_drift, read_curves, training_curves
from rlvr.figures.style import save, style
from rlvr.figures.tasks import delta_by_task, kl_by_task, sparsity, variance_ratio
from rlvr.files import read_json

FIGURES = ("training_curves", "delta_by_task", "variance_ratio", "kl_by_task", "sparsity", "kl_drift")


def draw_precision_figures(
    analysis: AnalysisFiles,
    config: AnalysisConfig,
    metrics_files: Sequence[str | Path],
    metrics_labels: Sequence[Sequence[Any]],
    out_folder: str | Path,
) -> None:
    """Write `{figure}.svg` and `{figure}.pdf` for every name in `FIGURES`.

    `metrics_labels` are (mode, seed, repeat) of `metrics_files`, in the same order; ValueError if their
    numbers differ. Only the first repeat of each seed is drawn.
    """
    runs, arms = pd.read_csv(analysis.runs), pd.read_csv(analysis.arms)
    curves = read_curves(metrics_files, metrics_labels)
    order = list(dict.fromkeys(arms["arm"]))
    with style():
        save(training_curves(curves, order), out_folder, "training_curves")
        save(kl_drift(curves, order), out_folder, "kl_drift")
        save(delta_by_task(runs, arms, order), out_folder, "delta_by_task")
        save(kl_by_task(runs, order), out_folder, "kl_by_task")
        save(sparsity(pd.read_csv(analysis.weights), order), out_folder, "sparsity")
        claims = read_json(analysis.hypotheses)
        save(variance_ratio(claims, order, config.h2_smallest_ratio), out_folder, "variance_ratio")
