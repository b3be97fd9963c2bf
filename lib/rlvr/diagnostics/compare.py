"""Which weights runs changed in common: one row for each pair of runs."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Literal

from torch import Tensor

from rlvr.arithmetic import configure_arithmetic
from rlvr.diagnostics.overlap import OverlapCounts, count_overlap, jaccard, sum_counts, uniform_jaccard
from rlvr.diagnostics.sparsity import BLOCK
from rlvr.diagnostics.streaming import StoredTensor, stream_tensors
from rlvr.files import write_csv

logger = logging.getLogger(__name__)

Pair = Literal["seeds", "modes", "both", "repeats"]


@dataclass(frozen=True)
class RunFolder:
    """The policy folder of one run."""

    mode: str
    seed: int
    rep: int
    folder: str


@dataclass(frozen=True)
class OverlapSettings:
    """How runs are compared; `eta` as in `update_sparsity`."""

    eta: float
    compute_threads: int = 1


@dataclass(frozen=True)
class OverlapRow:
    """Overlap of the changed weights of two runs, over all weights of the policy.

    The Jaccard indices are defined in `rlvr.diagnostics.overlap`.
    `pair`: what differs, "seeds" (same mode), "modes" (same seed), "both", or "repeats" (neither). `density`:
    share of weights changed. `same_direction`: share of the commonly changed weights that moved the same way,
    `same_direction_null` what null 3 expects. All measures are NaN where a run's weights are not finite.
    """

    mode_a: str
    seed_a: int
    rep_a: int
    mode_b: str
    seed_b: int
    rep_b: int
    pair: Pair
    density_a: float
    density_b: float
    jaccard: float
    jaccard_uniform: float
    jaccard_magnitude: float
    jaccard_rounding: float
    same_direction: float
    same_direction_null: float


def _flat_blocks(base: StoredTensor, runs: Sequence[StoredTensor]) -> Iterator[tuple[Tensor, list[Tensor]]]:
    own = base.read_finite().reshape(-1)
    for start in range(0, own.numel(), BLOCK):
        part = slice(start, start + BLOCK)
        # Mapped again for each block, so that the pages of all runs' tensors are not held at the same time.
        yield own[part], [stored.read().reshape(-1)[part].clone() for stored in runs]


def what_differs(a: RunFolder, b: RunFolder) -> Pair:
    """What two runs differ in: mode, seed, both, or only the repeat."""
    if a.mode == b.mode:
        return "repeats" if a.seed == b.seed else "seeds"
    return "modes" if a.seed == b.seed else "both"


def _row(a: RunFolder, b: RunFolder, counts: OverlapCounts, i: int, j: int) -> OverlapRow:
    names = (a.mode, a.seed, a.rep, b.mode, b.seed, b.rep, what_differs(a, b))
    if not (counts.finite[i] and counts.finite[j]):
        return OverlapRow(*names, *[nan] * (len(fields(OverlapRow)) - len(names)))
    changed_a, changed_b = float(counts.common[i, i]), float(counts.common[j, j])
    density_a, density_b = changed_a / counts.weights, changed_b / counts.weights
    common, expected = float(counts.common[i, j]), float(counts.common_rounding[i, j])
    return OverlapRow(
        *names,
        density_a,
        density_b,
        jaccard=jaccard(common, changed_a, changed_b),
        jaccard_uniform=uniform_jaccard(density_a, density_b),
        jaccard_magnitude=jaccard(float(counts.common_magnitude[i, j]), changed_a, changed_b),
        jaccard_rounding=jaccard(expected, changed_a, changed_b),
        same_direction=float(counts.agreeing[i, j]) / common if common else nan,
        same_direction_null=float(counts.agreeing_rounding[i, j]) / expected if expected else nan,
    )


def compare_updates(
    base: str | Path, runs: Sequence[RunFolder], settings: OverlapSettings
) -> list[OverlapRow]:
    """Overlap of every unordered pair of `runs`, in their order; changed means changed from the base.

    Read in blocks of one tensor, so that the memory grows with the number of runs but not with the policy.
    A single run has no pair, hence no row. UserError for folders that do not fit together, and for a base
    that is not finite.
    """
    counts = sum_counts(
        count_overlap(_flat_blocks(own, stored), settings.eta)
        for _, (own, *stored) in stream_tensors([base, *(run.folder for run in runs)])
    )
    for run, finite in zip(runs, counts.finite, strict=True):
        if not finite:
            logger.warning("%s: some weights are not finite; its overlaps are empty", run.folder)
    return [_row(a, b, counts, i, j) for (i, a), (j, b) in combinations(enumerate(runs), 2)]


def write_overlap(path: str | Path, rows: Sequence[OverlapRow]) -> None:
    """Write a row for each pair; what is not defined is an empty cell."""
    write_csv(path, [field.name for field in fields(OverlapRow)], map(asdict, rows))


def compare_update_overlap(
    base: str,
    policies: Sequence[str],
    runs: Sequence[tuple[str, int, int]],
    settings: OverlapSettings,
    table: str,
) -> None:
    """Compare the runs (mode, seed, rep), whose policies are `policies` in their order, and write `table`."""
    configure_arithmetic(settings.compute_threads, deterministic=True, seed=0)
    folders = [RunFolder(*run, policy) for run, policy in zip(runs, policies, strict=True)]
    write_overlap(table, compare_updates(base, folders, settings))
