"""Update geometry of checkpoints: one row for each weight tensor and checkpoint."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from rlvr.arithmetic import configure_arithmetic
from rlvr.devices import resolve_device
from rlvr.diagnostics.kinds import Kind, tensor_kind
from rlvr.diagnostics.sparsity import all_finite, movable_fraction, relative_change, update_sparsity
from rlvr.diagnostics.spectral import (
    AgainstNull,
    Spectra,
    SpectralShift,
    spectral_shift,
    spectrum,
)
from rlvr.diagnostics.streaming import stream_tensors
from rlvr.files import write_csv
from rlvr.precision import DtypeName, torch_dtype
from rlvr.rollout.streams import named_generator

logger = logging.getLogger(__name__)

_UNDEFINED = SpectralShift(*[AgainstNull(math.nan, math.nan, math.nan)] * len(fields(SpectralShift)))


@dataclass(frozen=True)
class Checkpoint:
    """A policy folder of one run after `step` training steps."""

    arm: str
    seed: int
    rep: int
    step: int
    folder: str


@dataclass(frozen=True)
class GeometrySettings:
    """How checkpoints of one precision mode are measured.

    `eta`: of `update_sparsity`. `learning_rate`: the size of a step, for the movable fraction.
    `storage_dtype`: the mode's master weights; a run starts from the base rounded to it, and so do the
    measures. `rank`: dimensions of the top singular subspaces. `null_draws`, `seed`: of the isotropic null.
    `device`: where spectra are computed.
    """

    eta: float
    learning_rate: float
    storage_dtype: DtypeName
    rank: int = 8
    null_draws: int = 4
    seed: int = 0
    compute_threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class TensorGeometry:
    """What training did to one weight tensor up to one checkpoint.

    `weights`: their number. `sparsity`: the share equal in bf16 (`update_sparsity`); `moved`: 1 − sparsity.
    `movable`: the share that one step of the learning rate, rounded to nearest, could move at the start.
    `relative_change`: ‖W − W₀‖ / ‖W₀‖, NaN where the start is zero. `spectral`: NaN but for matrices. All
    measures are NaN where the checkpoint has a weight that is not finite.
    """

    checkpoint: Checkpoint
    tensor: str
    layer: int | None
    kind: Kind
    weights: int
    sparsity: float
    moved: float
    movable: float
    relative_change: float
    spectral: SpectralShift


@dataclass(frozen=True)
class _Start:
    """A weight tensor as runs start from it, with what is computed once for all checkpoints."""

    name: str
    weight: Tensor
    movable: float
    spectrum: Spectra | None


def _start(name: str, base: Tensor, settings: GeometrySettings) -> _Start:
    stored = base.to(torch_dtype(settings.storage_dtype))
    weight = stored.to(resolve_device(settings.device))
    return _Start(
        name,
        weight,
        movable_fraction(stored, settings.learning_rate),
        spectrum(weight, settings.rank) if weight.dim() == 2 else None,
    )


def _shift(start: _Start, after: Tensor, checkpoint: Checkpoint, settings: GeometrySettings) -> SpectralShift:
    if start.spectrum is None:
        return _UNDEFINED
    purpose = f"isotropic null {checkpoint.arm} {start.name}"
    numbers = (settings.seed, checkpoint.seed, checkpoint.rep, checkpoint.step)
    return spectral_shift(
        start.weight,
        start.spectrum,
        after,
        settings.rank,
        settings.null_draws,
        lambda: named_generator(purpose, *numbers),
    )


def _measure(
    start: _Start, after: Tensor, checkpoint: Checkpoint, settings: GeometrySettings
) -> TensorGeometry:
    kind = tensor_kind(start.name)
    if all_finite(after):
        sparsity = update_sparsity(start.weight, after, settings.eta)
        change = relative_change(start.weight, after) if start.weight.any() else math.nan
        shift = _shift(start, after, checkpoint, settings)
    else:
        logger.warning("%s: weight %s is not finite; its measures are empty", checkpoint.folder, start.name)
        sparsity, change, shift = math.nan, math.nan, _UNDEFINED
    return TensorGeometry(
        checkpoint,
        start.name,
        kind.layer,
        kind.kind,
        weights=after.numel(),
        sparsity=sparsity,
        moved=1.0 - sparsity,
        movable=start.movable,
        relative_change=change,
        spectral=shift,
    )


def measure_geometry(
    base: str | Path, checkpoints: Sequence[Checkpoint], settings: GeometrySettings
) -> list[TensorGeometry]:
    """Measure every weight tensor of `checkpoints` (of one mode, any runs and steps) against the base.

    Rows come by checkpoint, in the order given, then by tensor. Tensors are read one at a time: beside the
    tensor of the base there is one of a checkpoint in memory, and what a spectrum needs (`spectral`).
    The spectrum of the base is computed once. UserError for folders that do not fit together, and for a base
    that is not finite.
    """
    rows: list[list[TensorGeometry]] = [[] for _ in checkpoints]
    for name, (own, *stored) in stream_tensors([base, *(checkpoint.folder for checkpoint in checkpoints)]):
        start = _start(name, own.read_finite(), settings)
        for checkpoint, tensor, measured in zip(checkpoints, stored, rows, strict=True):
            after = tensor.read().to(start.weight.device)
            measured.append(_measure(start, after, checkpoint, settings))
    return list(chain.from_iterable(rows))


def run_checkpoints(
    arm: str, seed: int, rep: int, policy: str | Path, snapshots: str | Path, steps: int
) -> Iterator[Checkpoint]:
    """The snapshots of a run in the order of their steps, then its policy, which is the one after `steps`.

    `snapshots` holds folders step1, step2, ...; one of the last step is the policy again and is left out.
    """
    taken = sorted(int(folder.name.removeprefix("step")) for folder in Path(snapshots).glob("step*"))
    for step in taken:
        if step < steps:
            yield Checkpoint(arm, seed, rep, step, str(Path(snapshots) / f"step{step}"))
    yield Checkpoint(arm, seed, rep, steps, str(policy))


def _flat(row: TensorGeometry) -> dict[str, Any]:
    record = {field.name: getattr(row, field.name) for field in fields(row)}
    record = asdict(record.pop("checkpoint")) | record
    shift = record.pop("spectral")
    del record["folder"]
    for field in fields(shift):
        measure = getattr(shift, field.name)
        record |= {
            field.name: measure.observed,
            f"{field.name}_null": measure.null,
            f"{field.name}_null_sd": measure.null_sd,
            f"{field.name}_ratio": measure.ratio,
        }
    return record


def write_geometry(path: str | Path, rows: Sequence[TensorGeometry]) -> None:
    """Write a tidy table: arm, seed, rep, step, tensor, ..., and each spectral measure with its null.

    `nss` is the observed value, `nss_null` and `nss_null_sd` belong to the null, `nss_ratio` is observed /
    null; likewise for the angles (in degrees). What is not defined is an empty cell.
    """
    records = [_flat(row) for row in rows]
    write_csv(path, list(records[0]), records)


def measure_update_geometry(
    base: str,
    policies: Sequence[str],
    snapshots: Sequence[str],
    runs: Sequence[tuple[str, int, int]],
    steps: int,
    settings: GeometrySettings,
    table: str,
) -> None:
    """Measure the runs (arm, seed, rep) of one mode, all their checkpoints, and write `table`.

    `policies` and `snapshots` are the runs' folders, in the order of `runs`; `steps` is the length of a run.
    """
    configure_arithmetic(settings.compute_threads, deterministic=True, seed=settings.seed)
    with_folders = zip(runs, policies, snapshots, strict=True)
    checkpoints = [
        checkpoint
        for run, policy, taken in with_folders
        for checkpoint in run_checkpoints(*run, policy, taken, steps)
    ]
    write_geometry(table, measure_geometry(base, checkpoints, settings))
