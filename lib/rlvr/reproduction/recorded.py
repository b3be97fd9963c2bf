"""What a folder of results says of its own files: the hashes in its manifests and provenance records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlvr.errors import UserError
from rlvr.files import read_json

Record = Mapping[str, Any]

ARM_FOLDERS = ("alignment/*/*", "advantage/grpo/*")
STUDY_DATA = ("alignment", "advantage")
# What a run or an arm writes beside its provenance, by the names under `outputs` there.
OUTPUTS = {
    "metrics": "metrics.csv",
    "rollouts": "rollouts.jsonl.gz",
    "snapshots": "snapshots",
    "validation": "validation.csv",
    "generations": "generations.jsonl.gz",
}


@dataclass(frozen=True)
class Recorded:
    """A SHA-256 that the record `by` has of `path`.

    `of` file: the bytes, of a folder those of all its files (`rlvr.provenance.sha256_path`); of weights: the
    stored tensors of a policy (`rlvr.models.weights.weight_hash`).
    """

    path: Path
    of: Literal["file", "weights"]
    hash: str
    by: Path


def read_record(path: Path) -> Record:
    """A JSON record; UserError names the file if it is missing or not whole."""
    try:
        return read_json(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: no whole JSON record ({error})") from error


def record_files(results: Path) -> list[Path]:
    """Every record with hashes in a folder of results, the data's first."""
    manifests = [
        results / "data/manifest.json",
        *(results / one / "data/manifest.json" for one in STUDY_DATA),
    ]
    found = [path for path in manifests if path.exists()]
    found += sorted(results.glob("precision/train/*/*/*/provenance.json"))
    found += sorted(results.glob("precision/eval/**/*.json"))
    for folder in ARM_FOLDERS:
        found += sorted(results.glob(f"{folder}/provenance.json"))
    return found


def recorded_in(results: Path, file: Path, data_root: Path) -> Iterator[Recorded]:
    """The hashes in one of `record_files`; `data_root`: where the sources of the data lie.

    UserError if the record is unreadable, or was written by a version that recorded less.
    """
    try:
        yield from _recorded(results, file, read_record(file), data_root)
    except KeyError as error:
        raise UserError(f"{file}: has no {error}; it was written by another version") from error


def _recorded(results: Path, file: Path, record: Record, data_root: Path) -> Iterator[Recorded]:
    place = file.relative_to(results).parts
    if file.name == "manifest.json":
        yield from _data(file, record, data_root)
    elif place[:2] == ("precision", "train"):
        yield from _run(results, file, record)
    elif place[:2] == ("precision", "eval"):
        yield from _evaluation(results, file, record)
    else:
        yield from _arm(results / place[0], file, record)


def training_problems(results: Path) -> Path:
    """The problems that the runs of the precision study train on, by the manifest."""
    manifest = read_record(results / "data/manifest.json")
    return (
        results
        / "data"
        / ("train_perfectible.jsonl" if "perfectible" in manifest["train"] else "train.jsonl")
    )


def _data(manifest: Path, record: Record, data_root: Path) -> Iterator[Recorded]:
    entries = {name: entry for name, entry in record.items() if name != "evaluation"}
    entries |= {f"eval/{task}": entry for task, entry in record.get("evaluation", {}).items()}
    if "perfectible" in entries.get("train", {}):
        entries["train_perfectible"] = entries["train"]["perfectible"]
    for name, entry in entries.items():
        yield Recorded(manifest.parent / f"{name}.jsonl", "file", entry["sha256"], manifest)
        sources = [*entry.get("sources", ()), *([entry["source"]] if "source" in entry else [])]
        for source in sources:
            if "sha256" in source:
                yield Recorded(data_root / source["path"], "file", source["sha256"], manifest)


def _run(results: Path, file: Path, record: Record) -> Iterator[Recorded]:
    inputs = {"base": results / "base/policy", "problems": training_problems(results)}
    yield from _inputs(file, record, inputs)
    yield Recorded(file.parent / "policy", "weights", record["weight_hash"], file)
    yield from _outputs(file, record, OUTPUTS)


def _evaluation(results: Path, file: Path, record: Record) -> Iterator[Recorded]:
    provenance = record["provenance"]
    run = file.parent.relative_to(results / "precision/eval")
    base = results / "base/policy"
    tasks = {one["task"]: results / f"data/eval/{one['task']}.jsonl" for one in record["tasks"]}
    if run.parts[0] == "base":
        policy = base
    elif run.parts[0] == "external":
        policy = results / "precision" / run / "policy"
    else:
        policy = results / "precision/train" / run / "policy"
    folders = {"policy": policy, "base": base, "snapshots": policy.parent / "snapshots"}
    yield from _inputs(file, provenance, folders | tasks)
    names = {name: f"{file.stem}.{name}.jsonl.gz" for name in ("samples", "kl")}
    yield from _outputs(file, provenance, names)


def _arm(study: Path, file: Path, record: Record) -> Iterator[Recorded]:
    examples = "sft.jsonl" if record["method"] == "sft" else "train.jsonl"
    inputs = {"base": study / "base/policy", "examples": study / "data" / examples}
    yield from _inputs(file, record, inputs | {"validation": study / "data/validation.jsonl"})
    for run in record["runs"]:
        policy = file.parent / "policies" / f"seed{run['seed']}"
        yield Recorded(policy, "weights", run["weight_hash"], file)
    yield from _outputs(file, record, OUTPUTS)


def _inputs(file: Path, record: Record, paths: Mapping[str, Path]) -> Iterator[Recorded]:
    for name, value in record["inputs"].items():
        yield Recorded(paths[name], "file", value, file)


def _outputs(file: Path, record: Record, names: Mapping[str, str]) -> Iterator[Recorded]:
    for name, value in record["outputs"].items():
        yield Recorded(file.parent / names[name], "file", value, file)
