"""Train a recorded run of the precision study again, and compare what comes out."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cattrs.errors import BaseValidationError

from rlvr.config.build import build
from rlvr.errors import UserError
from rlvr.provenance import digest, hash_inputs
from rlvr.reproduction.comparison import Comparison
from rlvr.reproduction.folders import compare_part, run_parts
from rlvr.reproduction.recorded import read_record, training_problems
from rlvr.training.launch import launch_training
from rlvr.training.run import TrainingFiles
from rlvr.training.trainer import TrainingJob


def run_provenance(results: Path, run: str) -> Path:
    """The record of a run, named as `fp32/seed1/rep1`; UserError lists the runs there are if it has none."""
    path = results / "precision/train" / run / "provenance.json"
    if not path.is_file():
        found = sorted(results.glob("precision/train/*/*/*/provenance.json"))
        there = ", ".join("/".join(file.parts[-4:-1]) for file in found) or "none"
        raise UserError(f"argument --run: {run} has no provenance.json in {results}; allowed: {there}")
    return path


def recorded_job(record: Mapping[str, Any]) -> TrainingJob:
    """The job of a run's provenance; UserError if another version recorded it, or somebody edited it."""
    try:
        job = build(TrainingJob, {**record["job"], "mode": record["mode"]})
    except BaseValidationError as error:
        raise UserError("the run's job was recorded by another version, with other settings") from error
    if digest(job) != record["config_digest"]:
        raise UserError("the run's job has not the config_digest that was recorded: its record was edited")
    return job


def gpus_of(record: Mapping[str, Any]) -> int:
    """How many GPUs a run was trained on."""
    return 0 if record["device"] == "cpu" else recorded_job(record).training.trainer.gpus


def rerun(results: Path, run: str) -> list[Comparison]:
    """Train a run anew in a temporary folder, from the recorded base and problems, and compare the two.

    It computes on the kind of device that was recorded, on `gpus_of` GPUs that the caller has leased.
    UserError if base or problems are not those that were recorded: nothing could be concluded.
    """
    provenance = run_provenance(results, run)
    record = read_record(provenance)
    job = recorded_job(record)
    gpus = gpus_of(record)
    job = replace(job, device="cuda" if gpus else "cpu")
    base, problems = results / "base/policy", training_problems(results)
    _check_inputs({"base": base, "problems": problems}, record["inputs"])
    with tempfile.TemporaryDirectory(prefix="rlvr-verify-") as temporary:
        again = Path(temporary)
        folder = again / "precision/train" / run
        launch_training(job, _files(folder, base, problems, again / "checkpoints"), leased_gpus=gpus)
        return [compare_part(part, again, results) for part in run_parts(results, provenance)]


def _check_inputs(paths: Mapping[str, Path], recorded: Mapping[str, str]) -> None:
    for path in paths.values():
        if not path.exists():
            raise UserError(f"{path} is missing, from which the run started")
    changed = [str(paths[name]) for name, value in hash_inputs(paths).items() if value != recorded[name]]
    if changed:
        raise UserError(f"{', '.join(changed)}: not what the run was trained on, so it cannot be repeated")


def _files(folder: Path, base: Path, problems: Path, checkpoints: Path) -> TrainingFiles:
    return TrainingFiles(
        base=str(base),
        problems=str(problems),
        policy=str(folder / "policy"),
        snapshots=str(folder / "snapshots"),
        metrics=str(folder / "metrics.csv"),
        rollouts=str(folder / "rollouts.jsonl.gz"),
        tensorboard=str(folder / "tensorboard"),
        provenance=str(folder / "provenance.json"),
        checkpoints=str(checkpoints),
    )
