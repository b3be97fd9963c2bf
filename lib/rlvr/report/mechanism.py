"""Tables on the mechanism: what moved by kind of matrix, and the overlap of updates."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rlvr.analysis.load import SEED_REPEAT
from rlvr.analysis.mechanism import NULLS, SPECTRAL, read_geometry, shares
from rlvr.figures.spectral import spectral_ratios
from rlvr.report.page import Table, number


def geometry_table(files: Sequence[str | Path]) -> Table:
    """By arm and kind of matrix: unchanged, movable, relative change, and spectral measures over the null."""
    geometry = read_geometry(files)
    keys = ("arm", "kind")
    means = pd.DataFrame(
        {
            "sparsity": 100 * shares(geometry, "sparsity", *keys),
            "movable": 100 * shares(geometry, "movable", *keys),
            "relative_change": geometry.groupby(list(keys))["relative_change"].mean(),
        }
    ).join(spectral_ratios(geometry, *keys, "seed").groupby(list(keys)).mean())
    patterns = {"sparsity": "{:.1f}", "movable": "{:.1f}", "relative_change": "{:.2g}"}
    rows = tuple(
        (
            arm,
            kind,
            *(number(means[name].loc[(arm, kind)], patterns.get(name, "{:.2f}")) for name in map(str, means)),
        )
        for arm, kind in dict.fromkeys(zip(geometry["arm"], geometry["kind"], strict=True))
    )
    head = (
        "arm", "kind", "unchanged in bf16, %", "movable by one step, %", "relative change",
        *(f"{words}, over isotropic" for words in SPECTRAL.values()),
    )  # fmt: skip
    caption = (
        "Updates by kind of matrix, last step (geometry/*.csv): shares of the weights of a kind, over all "
        "runs; relative change ‖W − W₀‖ / ‖W₀‖, mean over matrices and runs; spectral measures divided by "
        "their isotropic null, geometric mean over the matrices of a run, then mean over runs"
    )
    return Table(caption, head, rows)


PAIRS = {
    "seeds": "two seeds of one arm", "modes": "two arms, same seed", "both": "two arms, other seeds",
    "repeats": "repeats of one seed",
}  # fmt: skip
# Which null an overlap is to be compared with depends on where the base's weights can lie.
NULL_TO_COMPARE = (
    "by magnitude where the base is stored in bf16, by rounding cell where it is stored in a finer format"
)


def overlap_table(file: str | Path) -> Table:
    """By what differs between two runs: the observed Jaccard index, and the nulls.

    First repeats only, but for the rows on repeats of one seed.
    """
    overlap = pd.read_csv(file)
    first = (overlap["rep_a"] == SEED_REPEAT) & (overlap["rep_b"] == SEED_REPEAT)
    columns = ["density_a", "density_b", "jaccard", *NULLS, "same_direction", "same_direction_null"]
    rows = []
    for (pair, a, b), own in overlap[first | (overlap["pair"] == "repeats")].groupby(
        ["pair", "mode_a", "mode_b"], sort=False
    ):
        means = own[columns].mean()
        cells = (number(means[name], "{:.2f}") for name in columns)
        arms = str(a) if a == b else f"{a}, {b}"
        rows.append((PAIRS[str(pair)], arms, str(len(own)), *cells))
    head = (
        "what differs", "arms", "pairs", "changed, first", "changed, second", "Jaccard",
        *(f"null: {words}" for words in NULLS.values()), "same direction", "its null",
    )  # fmt: skip
    caption = (
        "Overlap of changed weights, means over pairs of runs (overlap.csv). The null to compare with: "
        f"{NULL_TO_COMPARE}"
    )
    return Table(caption, head, tuple(rows))
