"""Draw the figures of the precision study."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.mechanism import read_geometry
from rlvr.config.precision import AnalysisConfig
from rlvr.figures.captions import OUTCOME_FIGURES, TRAINING_FIGURES
from rlvr.figures.curves import kl_drift, kl_snapshots, read_curves, training_curves
from rlvr.figures.mechanism import (
    lost_update,
    moved_weights,
    overlap_of_updates,
    sparsity_by_layer,
    spectral_shift,
)
from rlvr.figures.progress import progress_paths
from rlvr.figures.style import save, style
from rlvr.figures.tasks import delta_by_task, kl_by_task, sparsity, variance_ratio
from rlvr.files import read_json

Drawings = Mapping[str, Callable[[], Figure]]


def _draw(names: Sequence[str], drawings: Drawings, folder: str | Path) -> None:
    with style():
        for name in names:
            save(drawings[name](), folder, name)


def draw_training_figures(
    metrics_files: Sequence[str | Path],
    metrics_labels: Sequence[Sequence[Any]],
    geometry_files: Sequence[str | Path],
    overlap_file: str | Path,
    out_folder: str | Path,
) -> None:
    """Write `{figure}.svg` and `{figure}.pdf` for every name in `rlvr.figures.captions.TRAINING_FIGURES`.

    `metrics_labels` are (mode, seed, repeat) of `metrics_files`, in the same order; ValueError if their
    numbers differ. `geometry_files`: one a mode. Only the first repeat of each seed is drawn.
    """
    curves, geometry = read_curves(metrics_files, metrics_labels), read_geometry(geometry_files)
    overlap = pd.read_csv(overlap_file)
    order = list(dict.fromkeys(geometry["arm"]))
    drawings: Drawings = {
        "training_curves": lambda: training_curves(curves, order),
        "kl_drift": lambda: kl_drift(curves, order),
        "lost_update": lambda: lost_update(curves, order),
        "sparsity_by_layer": lambda: sparsity_by_layer(geometry, order),
        "moved_weights": lambda: moved_weights(geometry, order),
        "spectral_shift": lambda: spectral_shift(geometry, order),
        "overlap_of_updates": lambda: overlap_of_updates(overlap, order),
    }
    _draw(TRAINING_FIGURES, drawings, out_folder)


def draw_outcome_figures(analysis: AnalysisFiles, config: AnalysisConfig, out_folder: str | Path) -> None:
    """Write `{figure}.svg` and `{figure}.pdf` for every name in `rlvr.figures.captions.OUTCOME_FIGURES`."""
    runs, arms = pd.read_csv(analysis.runs), pd.read_csv(analysis.arms)
    weights, claims = pd.read_csv(analysis.weights), read_json(analysis.hypotheses)
    drift = pd.read_csv(analysis.drift)
    order = list(dict.fromkeys(arms["arm"]))
    drawings: Drawings = {
        "delta_by_task": lambda: delta_by_task(runs, arms, order),
        "variance_ratio": lambda: variance_ratio(claims, order, config.h2_smallest_ratio),
        "kl_by_task": lambda: kl_by_task(runs, order),
        "kl_snapshots": lambda: kl_snapshots(drift, order),
        "progress_paths": lambda: progress_paths(drift, order),
        "sparsity": lambda: sparsity(weights, order),
    }
    _draw(OUTCOME_FIGURES, drawings, out_folder)
