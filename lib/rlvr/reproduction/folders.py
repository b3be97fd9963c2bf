"""Two folders of results that should be the same: weights, metrics, what was drawn, and every table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.config.build import build
from rlvr.errors import UserError
from rlvr.precision import DtypeName, PrecisionMode
from rlvr.reproduction.comparison import Comparison, Parting
from rlvr.reproduction.recorded import ARM_FOLDERS, read_record
from rlvr.reproduction.rounding import tolerance, training_tolerance
from rlvr.reproduction.tables import compare_tables
from rlvr.reproduction.weights import compare_weights

# By glob, what is not of a training or an evaluation: exact inputs, and tables computed from results.
DATA = ("data/*.jsonl", "data/eval/*.jsonl", "alignment/data/*.jsonl", "advantage/data/*.jsonl")
TABLES = (
    "precision/geometry/*.csv",
    "precision/overlap.csv",
    "alignment/zero_shot/*/*.csv",
    "alignment/zero_shot/*/*.jsonl.gz",
    "advantage/reference/*/*.csv",
    "*/analysis/*.csv",
    "*/analysis/*.json",
)
BASES = ("base/policy", "alignment/base/policy", "advantage/base/policy")
RUN_TABLES = ("metrics.csv", "rollouts.jsonl.gz")
ARM_TABLES = ("metrics.csv", "validation.csv", "generations.jsonl.gz")


@dataclass(frozen=True)
class Part:
    """A table or a policy of a folder of results, `name` relative to it.

    `start`: of a policy, that from which it was trained; `step`: after which training step it was saved.
    """

    name: str
    tolerance: float
    is_policy: bool = False
    start: str | None = None
    step: int | None = None


def compare_folders(ours: Path, theirs: Path) -> Iterator[Comparison]:
    """Compare everything that either folder has, the inputs first.

    UserError if neither holds anything to compare.
    """
    parts = {part.name: part for folder in (theirs, ours) for part in parts_of(folder)}
    if not parts:
        raise UserError(f"{ours} and {theirs}: no data, policies or tables of a study in either")
    for part in parts.values():
        yield compare_part(part, ours, theirs)


def compare_part(part: Part, ours: Path, theirs: Path) -> Comparison:
    """Compare one part of two folders; what one of them lacks is different."""
    one, other = ours / part.name, theirs / part.name
    for path in (one, other):
        if not path.exists():
            missing = Parting(f"missing in {ours if path is one else theirs}", part.step)
            return Comparison(part.name, missing, missing)
    if not part.is_policy:
        return compare_tables(part.name, one, other, part.tolerance)
    return compare_weights(part.name, one, other, _start(part, ours, theirs), part.tolerance, part.step)


def _start(part: Part, ours: Path, theirs: Path) -> Path | None:
    if part.start is None:
        return None
    found = [folder / part.start for folder in (theirs, ours) if (folder / part.start).exists()]
    if not found:
        raise UserError(f"{part.start} is missing in {ours} and {theirs}: changes by training start there")
    return found[0]


def parts_of(results: Path) -> Iterator[Part]:
    """What can be compared of a folder of results: data, bases, runs, evaluations, arms, tables."""
    for pattern in DATA:
        yield from (Part(_name(results, path), 0.0) for path in sorted(results.glob(pattern)))
    # A base is trained in fp32 (or is a link), and all else starts from it.
    float32 = tolerance(["float32"])
    yield from (Part(base, float32, is_policy=True) for base in BASES if (results / base).exists())
    for file in sorted(results.glob("precision/train/*/*/*/provenance.json")):
        yield from run_parts(results, file)
    for file in sorted(results.glob("precision/eval/**/*.json")):
        dtype: DtypeName = read_record(file)["provenance"]["dtypes"]["evaluation"]
        for path in (file, *sorted(file.parent.glob(f"{file.stem}.*.jsonl.gz"))):
            yield Part(_name(results, path), tolerance([dtype]))
    for folder in ARM_FOLDERS:
        for file in sorted(results.glob(f"{folder}/provenance.json")):
            yield from _arm_parts(results, file)
    for pattern in TABLES:
        yield from (Part(_name(results, path), float32) for path in sorted(results.glob(pattern)))


def run_parts(results: Path, provenance: Path) -> Iterator[Part]:
    """Of one training run: metrics, the logged rollouts, the snapshots and the policy."""
    record = read_record(provenance)
    allowed, folder = _allowed(record), _name(results, provenance.parent)
    yield from (Part(f"{folder}/{name}", allowed) for name in RUN_TABLES)
    training = record["job"]["training"]
    for step in training["snapshot_steps"]:
        yield Part(f"{folder}/snapshots/step{step}", allowed, True, "base/policy", step)
    yield Part(f"{folder}/policy", allowed, True, "base/policy", training["steps"])


def _arm_parts(results: Path, provenance: Path) -> Iterator[Part]:
    record = read_record(provenance)
    allowed, folder = _allowed(record), _name(results, provenance.parent)
    base = f"{provenance.relative_to(results).parts[0]}/base/policy"
    yield from (Part(f"{folder}/{name}", allowed) for name in ARM_TABLES)
    for run in record["runs"]:
        yield Part(f"{folder}/policies/seed{run['seed']}", allowed, True, base)


def _allowed(record: Mapping[str, Any]) -> float:
    return training_tolerance(build(PrecisionMode, record["mode"]))


def _name(results: Path, path: Path) -> str:
    return path.relative_to(results).as_posix()
