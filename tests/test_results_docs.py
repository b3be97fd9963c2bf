"""The page on other tools: its Python runs as it stands, on a run of this package."""

import csv
import math
import re
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from tensorboard_events import read_scalars
from tiny_run import make_files, make_job

from rlvr.config.build import build
from rlvr.data.families import family_problems
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.run import evaluate_policy
from rlvr.files import read_jsonl, write_jsonl
from rlvr.training.run import train_policy

PAGE = (Path(__file__).parents[1] / "docs" / "results.md").read_text()
LOADING, SAMPLES, TABLE = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
TASK = {"rows": 10, "samples": 2, "max_tokens": 4, "stop": [], "keep_stop": True, "pass_at": [1]}


@pytest.fixture(scope="module")
def study(small_base, tmp_path_factory):
    """A folder whose results/default has one trained and evaluated run."""
    folder = tmp_path_factory.mktemp("study")
    precision = folder / "results" / "default" / "precision"
    run, scores = (precision / kind / "fp32" / "seed1" / "rep1" for kind in ("train", "eval"))
    run.mkdir(parents=True)
    scores.mkdir(parents=True)
    train_policy(make_job(steps=2, snapshot_steps=[]), make_files(small_base, run))
    write_jsonl(folder / "max.jsonl", map(asdict, family_problems("max", "held_out")[:20]))
    job = {
        "arm": "fp32",
        "seed": 1,
        "rep": 1,
        "suite": "families",
        "tasks": {"max": TASK},
        "templates": {"max": "plain"},
        "temperature": 0.7,
        "top_p": 0.8,
        "evaluation_seed": 0,
        "rollout": {"engine": "native", "vllm": {}},
        "samples_factor": 1,
        "max_batch_rows": 64,
        "kl": None,
        "snapshot_samples": None,
        "sparsity_eta": None,
        "dtype": "float32",
        "steps": None,
        "device": "cpu",
        "compute_threads": 1,
        "verification": {"time_limit_s": 10.0, "memory_mb": 1024, "require_isolation": "any"},
    }
    files = EvaluationFiles(
        policy=str(run / "policy"),
        base=None,
        problems=(str(folder / "max.jsonl"),),
        result=str(scores / "families.json"),
        samples=str(scores / "families.samples.jsonl.gz"),
        kl=None,
        checkpoints=str(folder / "checkpoints"),
    )
    evaluate_policy(build(EvaluationJob, job), files)
    return folder


def test_a_policy_loads_in_its_dtype_and_answers(study, monkeypatch, capsys):
    monkeypatch.chdir(study)
    exec(LOADING, {})
    assert re.match(r"torch\.float32 m:91,38=\S+", capsys.readouterr().out)


def test_samples_are_a_table(study, monkeypatch):
    monkeypatch.chdir(study)
    names = {}
    exec(SAMPLES + TABLE, names)
    raw = list(read_jsonl("results/default/precision/eval/fp32/seed1/rep1/families.samples.jsonl.gz"))
    assert len(names["samples"]) == len(raw) == 20
    assert list(names["samples"]["response"]) == [row["response"] for row in raw]
    assert list(names["samples"]["answer"]) == [row["answer"] for row in raw]
    assert set(names["table"]["run"]) == {"fp32/seed1/rep1"}
    pd.testing.assert_frame_equal(names["table"].drop(columns="run"), names["samples"])


def test_tensorboard_has_the_numbers_of_metrics_csv(study):
    run = study / "results/default/precision/train/fp32/seed1/rep1"
    (events,) = (run / "tensorboard").iterdir()
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    written = {
        (key, int(row["step"])): float(value)
        for row in rows
        for key, value in row.items()
        if key != "step" and value and not math.isnan(float(value))
    }
    assert read_scalars(events) == pytest.approx(written, rel=1e-6)  # events hold fp32
