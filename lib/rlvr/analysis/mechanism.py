"""The tables of the updates' geometry and overlap, as figures and report read them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rlvr.analysis.load import SEED_REPEAT

KINDS = ("embedding", "q", "k", "v", "o", "gate", "up", "down", "head", "norm", "bias", "other")
# Column of a geometry table -> how its ratio to the isotropic null is called.
SPECTRAL = {"nss_ratio": "shift of the spectrum", "angle_left_mean_ratio": "drift of the top subspace"}
NULLS = {
    "jaccard_uniform": "uniform",
    "jaccard_magnitude": "by magnitude",
    "jaccard_rounding": "by rounding cell",
}


def read_geometry(files: Sequence[str | Path]) -> pd.DataFrame:
    """The geometry of all modes' runs that enter seed statistics, at their last step."""
    table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    last = table["step"] == table.groupby(["arm", "seed", "rep"])["step"].transform("max")
    return table[last & (table["rep"] == SEED_REPEAT)]


def shares(geometry: pd.DataFrame, column: str, *keys: str) -> pd.Series:
    """Share of weights by keys: the mean over tensors, weighted by their weights."""
    counts = geometry[column] * geometry["weights"]
    groups = [geometry[key] for key in keys]
    return counts.groupby(groups).sum() / geometry["weights"].groupby(groups).sum()
