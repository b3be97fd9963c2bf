"""A folder of results that holds one real, tiny training run, with its base and data."""

import shutil
from pathlib import Path

from tiny_run import make_files, make_job

from rlvr.files import sha256_file, write_json
from rlvr.training.run import train_policy

RUN = "precision/train/fp32/seed1/rep1"


def write_results(base: Path, results: Path, seed: int = 1) -> Path:
    """Train at `RUN` (with any seed, to have another run in its place) and write the manifest."""
    (results / "data").mkdir(parents=True)
    shutil.copytree(base / "policy", results / "base/policy")
    shutil.copy(base / "train.jsonl", results / "data/train.jsonl")
    train = {"sha256": sha256_file(results / "data/train.jsonl"), "sources": []}
    write_json(results / "data/manifest.json", {"train": train, "evaluation": {}})
    train_policy(make_job(seed=seed), make_files(base, results / RUN))
    return results
