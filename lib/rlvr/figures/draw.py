"""Draw the figures of the precision study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.mechanism import read_geometry
from rlvr.config.precision import AnalysisConfig
from rlvr.figures.captions import OUTCOME_FIGURES, TRAINING_FIGURES
from rlvr.figures.curves import PANELS, kl_drift, kl_snapshots, read_curves, training_curves
from rlvr.figures.mechanism import (
    lost_update,
    moved_weights,
    overlap_of_updates,
    sparsity_by_layer,
    spectral_shift,
)
from rlvr.figures.progress import progress_paths
from rlvr.figures.style import Drawing, save_all
from rlvr.figures.tasks import delta_by_task, gain_data, kl_by_task, ratio_data, sparsity, variance_ratio
from rlvr.files import read_json

CURVE = ["arm", "seed", "step"]


def draw_training_figures(
    metrics_files: Sequence[str | Path],
    metrics_labels: Sequence[Sequence[Any]],
    geometry_files: Sequence[str | Path],
    overlap_file: str | Path,
    out_folder: str | Path,
) -> None:
    """Write `{figure}.svg`, `.pdf` and `.csv` for every name in `rlvr.figures.captions.TRAINING_FIGURES`.

    `metrics_labels` are (mode, seed, repeat) of `metrics_files`, in the same order; ValueError if their
    numbers differ. `geometry_files`: one a mode. Only the first repeat of each seed is drawn.
    """
    curves, geometry = read_curves(metrics_files, metrics_labels), read_geometry(geometry_files)
    overlap = pd.read_csv(overlap_file)
    order = list(dict.fromkeys(geometry["arm"]))
    drawings = {
        "training_curves": Drawing(lambda: training_curves(curves, order), curves[[*CURVE, *PANELS]]),
        "kl_drift": Drawing(lambda: kl_drift(curves, order), curves[[*CURVE, "kl_base_k3"]].dropna()),
        "lost_update": Drawing(lambda: lost_update(curves, order), curves[[*CURVE, "lost_update"]]),
        "sparsity_by_layer": Drawing(lambda: sparsity_by_layer(geometry, order), geometry),
        "moved_weights": Drawing(lambda: moved_weights(geometry, order), geometry),
        "spectral_shift": Drawing(lambda: spectral_shift(geometry, order), geometry),
        "overlap_of_updates": Drawing(lambda: overlap_of_updates(overlap, order), overlap),
    }
    save_all({name: drawings[name] for name in TRAINING_FIGURES}, out_folder)


def draw_outcome_figures(analysis: AnalysisFiles, config: AnalysisConfig, out_folder: str | Path) -> None:
    """Write `{figure}.svg`, `.pdf` and `.csv` for every name in `rlvr.figures.captions.OUTCOME_FIGURES`."""
    runs, arms = pd.read_csv(analysis.runs), pd.read_csv(analysis.arms)
    weights, claims = pd.read_csv(analysis.weights), read_json(analysis.hypotheses)
    drift = pd.read_csv(analysis.drift)
    order = list(dict.fromkeys(arms["arm"]))
    drawings = {
        "delta_by_task": Drawing(lambda: delta_by_task(runs, arms, order), gain_data(runs, arms)),
        "variance_ratio": Drawing(
            lambda: variance_ratio(claims, order, config.h2_smallest_ratio), ratio_data(claims)
        ),
        "kl_by_task": Drawing(
            lambda: kl_by_task(runs, order), runs[["arm", "seed", "rep", "task", "on_task", "kl_full"]]
        ),
        "kl_snapshots": Drawing(lambda: kl_snapshots(drift, order), drift),
        "progress_paths": Drawing(lambda: progress_paths(drift, order), drift),
        "sparsity": Drawing(lambda: sparsity(weights, order), weights),
    }
    save_all({name: drawings[name] for name in OUTCOME_FIGURES}, out_folder)
