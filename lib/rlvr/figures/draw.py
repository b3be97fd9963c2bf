"""Draw all figures of the precision study."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rlvr.analysis.files import AnalysisFiles
from rlvr.config.precision import AnalysisConfig
from rlvr.figures.captions import FIGURES
from rlvr.figures.curves import kl_drift, kl_snapshots, read_curves, training_curves
from rlvr.figures.style import save, style
from rlvr.figures.tasks import delta_by_task, kl_by_task, sparsity, variance_ratio
from rlvr.files import read_json


def draw_precision_figures(
    analysis: AnalysisFiles,
    config: AnalysisConfig,
    metrics_files: Sequence[str | Path],
    metrics_labels: Sequence[Sequence[Any]],
    out_folder: str | Path,
) -> None:
    """Write `{figure}.svg` and `{figure}.pdf` for every name in `rlvr.figures.captions.FIGURES`.

    `metrics_labels` are (mode, seed, repeat) of `metrics_files`, in the same order; ValueError if their
    numbers differ. Only the first repeat of each seed is drawn.
    """
    runs, arms = pd.read_csv(analysis.runs), pd.read_csv(analysis.arms)
    curves = read_curves(metrics_files, metrics_labels)
    order = list(dict.fromkeys(arms["arm"]))
    weights, claims = pd.read_csv(analysis.weights), read_json(analysis.hypotheses)
    drawings: dict[str, Callable[[], Figure]] = {
        "training_curves": lambda: training_curves(curves, order),
        "kl_drift": lambda: kl_drift(curves, order),
        "kl_snapshots": lambda: kl_snapshots(pd.read_csv(analysis.drift), order),
        "delta_by_task": lambda: delta_by_task(runs, arms, order),
        "kl_by_task": lambda: kl_by_task(runs, order),
        "sparsity": lambda: sparsity(weights, order),
        "variance_ratio": lambda: variance_ratio(claims, order, config.h2_smallest_ratio),
    }
    with style():
        for name in FIGURES:
            save(drawings[name](), out_folder, name)
