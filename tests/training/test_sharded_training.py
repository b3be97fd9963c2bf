"""Several processes that share one training job: what they come to, and how they end."""

import csv
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from sent_sigterm import end_by_sigterm
from sharded_jobs import OPTIMIZERS, updated
from small_models import save_reference
from tiny_run import TRAINING, make_files, make_job

from rlvr import processes
from rlvr.data.families import family_problems
from rlvr.errors import UserError
from rlvr.files import read_json, write_json, write_jsonl
from rlvr.liveness import process_runs
from rlvr.models.tokenizers import character_tokenizer
from rlvr.models.weights import read_weights
from rlvr.precision import Dropout, resolve_mode
from rlvr.sigterm import Terminated
from rlvr.training import grpo, launch, sharing
from rlvr.training.launch import launch_training
from rlvr.training.run import train_policy
from rlvr.training.worker import Failure, SharedJob, process_ids

TESTS = Path(__file__).parent.parent
CODE = "one and the same code"
# Two microbatches in each minibatch, and no clipping by a norm: two processes then add up the same two
# gradients as one process does, and every bit must be the same.
EXACT = {"microbatch_size": 8, "steps": 4, "optimizer": TRAINING["optimizer"] | {"max_grad_norm": 1e6}}
# Five microbatches for two processes, so that one computes something that must not count.
UNEVEN = {"microbatch_size": 7, "minibatches": 1, "steps": 4}
IN_PIECES = {"recompute_activations": True, "vocabulary_chunk": 5}
LONG = {"microbatch_size": 8, "steps": 12, "checkpoint_every_steps": 1}
NOISY = replace(
    resolve_mode("fp32", 0.1, {}),
    name="noisy",
    gradient_noise=1e-2,
    shuffle_reduction=True,
    dropout=Dropout("standard", 0.1),
)
EXACT_MODES = {name: name for name in ("fp32", "bf16", "bf16_sr", "bf16_kahan", "fp16_mixed")} | {
    "noisy": NOISY
}


def job(mode, gpus, trainer=None, **training):
    return make_job(mode, trainer=TRAINING["trainer"] | (trainer or {}) | {"gpus": gpus}, **training)


@pytest.fixture(scope="module")
def gpt2_base(tmp_path_factory):
    """A model of transformers, with problems beside it."""
    folder, tokenizer = tmp_path_factory.mktemp("gpt2"), character_tokenizer()
    save_reference(folder / "policy", "gpt2", tokenizer, vocab_size=len(tokenizer), eos_token_id=1)
    write_jsonl(folder / "train.jsonl", map(asdict, family_problems("max", "train")[:16]))
    return folder


def settings_of_gpt2():
    # Answers of a random model are all wrong; whether they end within the limit still tells them apart.
    overlong = {"enabled": True, "buffer_tokens": 3, "penalty": 1.0}
    sampling = {"enabled": False, "max_rounds": 1}
    return EXACT | {"steps": 2, "dynamic_sampling": sampling, "overlong": overlong}


@pytest.fixture(scope="module")
def pairs(small_base, gpt2_base, tmp_path_factory):
    """Folders of every job, by two processes (`two/NAME`) and, where it makes sense, by one (`one/NAME`).

    All two-process jobs in one start of torchrun.
    """
    root = tmp_path_factory.mktemp("sharded")
    folder = root / "jobs"

    def shared(name, job, base=small_base, out=None, stop=None):
        place = folder / name
        place.mkdir(parents=True)
        SharedJob(job, make_files(base, root / "two" / (out or name)), 1, CODE, os.getpid()).write(place)
        if stop is not None:
            write_json(place / "stop.json", stop)

    for name, mode in EXACT_MODES.items():
        shared(name, job(mode, 2, **EXACT))
        train_policy(job(mode, 1, **EXACT), make_files(small_base, root / "one" / name))
    shared("uneven", job("fp32", 2, IN_PIECES, **UNEVEN))
    train_policy(job("fp32", 1, **UNEVEN), make_files(small_base, root / "one" / "uneven"))
    shared("gpt2", job("fp32", 2, **settings_of_gpt2()), gpt2_base)
    train_policy(job("fp32", 1, **settings_of_gpt2()), make_files(gpt2_base, root / "one" / "gpt2"))
    shared("long", job("fp32", 2, **LONG))
    shared("begun", job("fp32", 2, **LONG), stop=4)
    shared("stopped1", job("bf16_sr", 2, **EXACT), out="stopped", stop=3)
    shared("stopped2", job("bf16_sr", 2, **EXACT), out="stopped")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(TESTS / "sharded_jobs.py"), str(folder)], check=True)
    return root


def rows(out):
    """The numbers of metrics.csv by step and name, times left out."""
    with (out / "metrics.csv").open() as file:
        return {
            f"step {row['step']}: {name}": float(value or "nan")
            for row in csv.DictReader(file)
            for name, value in row.items()
            if not name.startswith("seconds") and not name.endswith("per_second")
        }


def assert_same_metrics(ours, theirs, relative):
    assert rows(ours) == pytest.approx(rows(theirs), rel=relative, abs=relative / 10, nan_ok=True)


def assert_close(ours, theirs, tolerance):
    first, second = (dict(read_weights(out / "policy")) for out in (ours, theirs))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT_MODES)
def test_two_processes_train_as_one(pairs, name):
    two, one = pairs / "two" / name, pairs / "one" / name
    records = [read_json(out / "provenance.json") for out in (two, one)]
    assert records[0]["weight_hash"] == records[1]["weight_hash"]
    assert records[0]["dtypes"] == records[1]["dtypes"]
    assert [record["processes"] for record in records] == [2, 1]
    assert_close(two, one, 0.0)
    assert_same_metrics(two, one, 1e-5)
    snapshots = [dict(read_weights(out / "snapshots/step2")) for out in (two, one)]
    torch.testing.assert_close(*snapshots, rtol=0, atol=0)


@pytest.mark.slow
def test_work_that_does_not_come_out_even_and_pieces_of_it(pairs):
    assert_close(pairs / "two/uneven", pairs / "one/uneven", 2e-5)
    assert_same_metrics(pairs / "two/uneven", pairs / "one/uneven", 1e-4)


@pytest.mark.slow
def test_a_model_of_transformers(pairs):
    assert_close(pairs / "two/gpt2", pairs / "one/gpt2", 1e-6)
    assert_same_metrics(pairs / "two/gpt2", pairs / "one/gpt2", 1e-4)


@pytest.mark.slow
def test_a_sigterm_for_one_process_ends_all_after_a_step_and_the_rest_gives_the_same_bits(pairs):
    assert not (pairs / "two/stopped/checkpoints").exists()
    first, second = (read_json(pairs / "two" / name / "provenance.json") for name in ("stopped", "bf16_sr"))
    assert first["weight_hash"] == second["weight_hash"]
    assert_same_metrics(pairs / "two/stopped", pairs / "two/bf16_sr", 0)


@pytest.mark.slow
@pytest.mark.parametrize("write_back", OPTIMIZERS)
def test_the_optimizer_on_divided_weights(pairs, write_back):
    ours = torch.load(pairs / "jobs/optimizers.pt")[write_back]
    whole = updated(write_back, lambda tensor: tensor.clone())
    torch.testing.assert_close(ours["weights"], whole["weights"], rtol=0, atol=0)
    torch.testing.assert_close(ours["state"], whole["state"], rtol=0, atol=0)
    assert ours["measures"] == pytest.approx(whole["measures"], rel=1e-6)
    assert whole["measures"][0] > 0 or write_back == "nearest"


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(pairs, small_base, monkeypatch):
    files = make_files(small_base, pairs / "two/begun")
    alone = lambda: train_policy(job("fp32", 1, **LONG), files, code=CODE)  # noqa: E731
    (begun,) = {path.name for path in (pairs / "two/begun/checkpoints").glob("step*")} - {"step0000003"}
    assert begun == "step0000004"
    end_by_sigterm(monkeypatch, grpo, "train_step", 4, alone)
    # Its fourth step was step 8, so it has gone on from the two processes' checkpoint.
    assert (pairs / "two/begun/checkpoints/step0000008/state.pt").exists()
    launch_training(job("fp32", 2, **LONG), files, code=CODE)
    assert_close(pairs / "two/begun", pairs / "two/long", 2e-5)
    assert_same_metrics(pairs / "two/begun", pairs / "two/long", 1e-3)
    assert not (pairs / "two/begun/checkpoints").exists()


JOB = """
import pickle, sys
from rlvr.training.launch import launch_training
job, files, code = pickle.load(open(sys.argv[1], "rb"))
launch_training(job, files, code=code)
"""


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def once(condition, act):
    """While active: `act()` in a thread as soon as `condition()`."""

    def wait():
        wait_for(condition)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


@pytest.mark.slow
def test_a_job_that_is_ended_in_every_way_ends_as_an_undisturbed_one(pairs, small_base, tmp_path):
    shared, files = job("fp32", 2, **LONG), make_files(small_base, tmp_path)
    folder = tmp_path / "checkpoints/processes"

    def newest():
        return max((int(path.name[4:]) for path in (tmp_path / "checkpoints").glob("step*")), default=0)

    # The process that started it is killed: the others end by themselves.
    (tmp_path / "job").write_bytes(pickle.dumps((shared, files, CODE)))
    with subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path / "job")]) as launcher:
        wait_for(lambda: newest() >= 1)
        started = process_ids(folder)
        launcher.kill()
    assert len(started) == 2
    wait_for(lambda: not any(process_runs(process) for process in started))
    # One of the processes is killed.
    reached = newest()
    kill = lambda: os.kill(int((folder / "rank1.pid").read_text()), signal.SIGKILL)  # noqa: E731
    with once(lambda: newest() > reached, kill), pytest.raises(UserError) as caught:
        launch_training(shared, files, code=CODE)
    assert "process 1 of the job was ended by SIGKILL" in str(caught.value)
    assert "prompts used" in str(caught.value), "the end of the process's log is missing"
    assert f"resuming from {tmp_path / 'checkpoints'}" in (folder / "rank1.log").read_text()
    assert not any(map(process_runs, process_ids(folder)))
    # The process that started it gets a SIGTERM.
    reached = newest()
    end = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with once(lambda: newest() > reached, end), pytest.raises(Terminated):
        launch_training(shared, files, code=CODE)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert "ended by SIGTERM after step" in (folder / "rank1.log").read_text()
    for name in ("policy", "snapshots", "metrics.csv", "provenance.json"):
        assert not (tmp_path / name).exists()
    reached = newest()
    assert 3 <= reached < 12
    launch_training(shared, files, code=CODE)
    undisturbed = pairs / "two/long"
    hashes = [read_json(out / "provenance.json")["weight_hash"] for out in (tmp_path, undisturbed)]
    assert hashes[0] == hashes[1]
    assert_same_metrics(tmp_path, undisturbed, 0)
    assert not (tmp_path / "checkpoints").exists()


def test_fewer_gpus_than_processes_are_refused(small_base, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "resolve_device", lambda name: torch.device("cuda"))
    with pytest.raises(
        UserError, match=r"trainer.gpus is 4, but the job has 2 GPUs.*resources.train_policy.gpu"
    ):
        launch_training(job("fp32", 4), make_files(small_base, tmp_path), leased_gpus=2)


def test_gradients_in_another_dtype_than_weights_are_refused(small_base, tmp_path):
    mode = replace(resolve_mode("bf16_fp32state", 0.0, {}), name="mine", reduce="float32")
    with pytest.raises(
        UserError, match="mode mine stores weights in bfloat16 and sums gradients up in float32"
    ):
        launch_training(job(mode, 2), make_files(small_base, tmp_path))


@pytest.mark.parametrize(
    ("said", "exit_codes", "expected"),
    [
        ([], {1: -9}, "process 1 of the job was ended by SIGKILL"),
        ([(0, 5.0, "connection closed", False)], {0: 1, 1: -9}, "process 1 of the job was ended by SIGKILL"),
        ([(0, 5.1, "closed", False), (1, 5.0, "a NaN", False)], {0: 1}, "process 1 of the job failed: a NaN"),
        ([], {0: 1}, "process 0 of the job ended with exit code 1"),
        ([(0, 5.1, "closed", False), (1, 5.0, "set this key", True)], {0: 1, 1: 1}, "set this key"),
    ],
)
def test_the_process_that_failed_first_is_named(tmp_path, said, exit_codes, expected):
    for failure in said:
        Failure(*failure).write(tmp_path)
    (tmp_path / "rank1.log").write_text("the last line of process 1\n")
    text = launch._what_failed(tmp_path, exit_codes)
    assert text.startswith(expected)
    assert ("the last line of process 1" in text) == expected.startswith("process 1")


def as_process(monkeypatch, rank, count):
    monkeypatch.setattr(processes, "process_rank", lambda: rank)
    monkeypatch.setattr(processes, "process_count", lambda: count)
    monkeypatch.setattr(sharing, "process_count", lambda: count)


def test_parts_are_shared_out_in_as_many_passes_for_everyone(monkeypatch):
    parts, found = list("abcdefg"), []
    for rank in range(3):
        as_process(monkeypatch, rank, 3)
        found.append(list(processes.share_out(parts)))
    assert {len(own) for own in found} == {3}
    counted = [part for own in found for part, counts in own if counts]
    assert sorted(counted) == parts
    assert [found[1][2], found[2][2]] == [("a", False), ("a", False)]


def test_one_process_draws_all_rollouts_of_a_prompt(monkeypatch):
    as_process(monkeypatch, 0, 2)
    assert sharing._owners(["a", "b", "a", "c", "b", "d"]) == [0, 1, 0, 0, 1, 1]
