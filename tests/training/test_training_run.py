"""Whole training runs: determinism, resume after kill -9, dtypes, outputs."""

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import make_files, make_job

from rlvr.files import read_json, read_jsonl
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.weights import weight_hash
from rlvr.precision import MODES
from rlvr.rollout.native import NativeEngine
from rlvr.training.run import train_policy

VICTIM = """
import pickle, sys, logging
from rlvr.training.run import train_policy
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
train_policy(*pickle.load(open(sys.argv[1], "rb")))
"""


def _train(base: Path, out: Path, **job) -> dict:
    train_policy(make_job(**job), make_files(base, out))
    return read_json(out / "provenance.json")


@pytest.fixture(scope="module")
def fp32_run(small_base, tmp_path_factory):
    out = tmp_path_factory.mktemp("fp32")
    return out, _train(small_base, out)


def test_same_seed_gives_the_same_weights_and_another_seed_others(small_base, fp32_run, tmp_path):
    _, first = fp32_run
    again = _train(small_base, tmp_path / "again")
    other = _train(small_base, tmp_path / "other", seed=2)
    assert again["weight_hash"] == first["weight_hash"]
    assert other["weight_hash"] != first["weight_hash"]


def test_outputs_are_complete_and_load(small_base, fp32_run):
    out, provenance = fp32_run
    with open(out / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert max(float(row["weights_changed_bf16"]) for row in rows) > 0
    assert max(float(row["logprob_mismatch_max"] or 0) for row in rows) < 1e-4
    rollouts = list(read_jsonl(out / "rollouts.jsonl.gz"))
    assert {record["step"] for record in rollouts} == {1, 3, 6}
    policy = load_policy(out / "policy", torch.float32, torch.float32)
    assert weight_hash(policy.named_parameters()) == provenance["weight_hash"]
    assert load_tokenizer(out / "snapshots" / "step2").pad_token_id is not None
    assert list((out / "tensorboard").iterdir())
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize("mode", list(MODES))
def test_realised_dtypes_are_the_modes(small_base, tmp_path, mode):
    dtypes = _train(small_base, tmp_path, mode=mode, steps=2, snapshot_steps=[])["dtypes"]
    expected = MODES[mode]
    assert dtypes == {
        "master": expected.master,
        "optimizer_state": expected.optimizer_state,
        "compute": expected.compute,
        "reduce": expected.reduce,
        "rollout": expected.rollout,
        "logits": "float32",
    } | ({"compensation": expected.master} if expected.write_back == "kahan" else {})


def test_dropout_and_bf16_runs_repeat_on_a_cpu(small_base, tmp_path):
    hashes = {
        (rate, rep): _train(
            small_base, tmp_path / f"{rate}{rep}", mode="bf16", dropout_rate=rate, steps=3, snapshot_steps=[2]
        )["weight_hash"]
        for rate, rep in [(0.2, 1), (0.2, 2), (0.0, 1)]
    }
    assert hashes[0.2, 1] == hashes[0.2, 2] != hashes[0.0, 1]


def test_kill_9_in_mid_training_and_rerun_give_the_same_weights(small_base, tmp_path):
    steps = {"steps": 40, "checkpoint_every_steps": 4}
    undisturbed = _train(small_base, tmp_path / "undisturbed", **steps)
    job, files = make_job(**steps), make_files(small_base, tmp_path / "killed")
    (tmp_path / "job.pickle").write_bytes(pickle.dumps((job, files)))
    command = [sys.executable, "-c", VICTIM, str(tmp_path / "job.pickle")]
    victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    # Whichever of them is seen: an earlier one goes when the next is written.
    while not any(int(path.name[4:]) >= 8 for path in (tmp_path / "killed/checkpoints").glob("step???????")):
        assert victim.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "killed" / "policy").exists()
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "resuming from" in finished.stderr + finished.stdout
    resumed = json.loads((tmp_path / "killed" / "provenance.json").read_text())
    assert resumed["weight_hash"] == undisturbed["weight_hash"]
    with (
        open(tmp_path / "killed" / "metrics.csv") as ours,
        open(tmp_path / "undisturbed/metrics.csv") as theirs,
    ):
        for row, reference in zip(csv.DictReader(ours), csv.DictReader(theirs), strict=True):
            for column in ("step", "reward_mean", "loss", "grad_norm", "kl_base_k3", "ratio_max"):
                assert row[column] == reference[column]


def test_a_checkpoint_of_another_config_is_not_used(small_base, tmp_path, monkeypatch):
    files = make_files(small_base, tmp_path)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rlvr.training.run.Run.write_results", stop)
        with pytest.raises(KeyboardInterrupt):
            train_policy(make_job(), files)
    assert (tmp_path / "checkpoints" / "step0000004").exists()
    clean = _train(small_base, tmp_path / "clean", seed=3)
    train_policy(make_job(seed=3), files)
    assert read_json(tmp_path / "provenance.json")["weight_hash"] == clean["weight_hash"]


def test_a_step_without_signal_is_recorded_and_changes_nothing(small_base, tmp_path):
    sampling = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 4, "min_tokens": 0, "stop": []}
    provenance = _train(
        small_base,
        tmp_path,
        steps=2,
        snapshot_steps=[],
        sampling=sampling | {"max_batch_rows": 64},
        dynamic_sampling={"enabled": True, "max_rounds": 0},
    )
    with open(tmp_path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["groups_kept"] for row in rows] == ["0", "0"]
    assert [row["loss"] for row in rows] == ["", ""]
    start = load_policy(small_base / "policy", torch.float32, torch.float32)
    assert provenance["weight_hash"] == weight_hash(start.named_parameters())


def test_no_gradient_takes_memory_while_rollouts_are_drawn(small_base, tmp_path, monkeypatch):
    load, gradients = NativeEngine.load_weights, []

    def seen(engine, named_weights):
        named = list(named_weights)
        gradients.extend(weight.grad for _, weight in named)
        load(engine, named)

    monkeypatch.setattr(NativeEngine, "load_weights", seen)
    _train(small_base, tmp_path / "out", minibatches=2)
    assert gradients and all(gradient is None for gradient in gradients)


def test_training_raises_the_reward(small_base, tmp_path):
    _train(small_base, tmp_path, steps=60, prompts_per_step=16, group_size=8, snapshot_steps=[])
    with open(tmp_path / "metrics.csv") as file:
        accuracy = [float(row["accuracy"]) for row in csv.DictReader(file)]
    assert sum(accuracy[-10:]) / 10 > sum(accuracy[:10]) / 10 + 0.1


def test_the_kl_to_the_base_is_measured_first_and_every_so_many_steps(small_base, tmp_path):
    def measured(name, **changes):
        train_policy(make_job("fp32", **changes), make_files(small_base, tmp_path / name))
        with open(tmp_path / name / "metrics.csv") as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows if row["kl_base_k3"]]
        assert steps == [int(row["step"]) for row in rows if row["kl_base_k1"]]
        return steps, [row["loss"] for row in rows], len(rows)

    some, losses, last = measured("some", kl_every_steps=3)
    assert some == [1, *range(3, last + 1, 3)]
    every, same, _ = measured("every", kl_every_steps=1)
    assert every == list(range(1, last + 1))
    assert losses == same  # measuring changes nothing
