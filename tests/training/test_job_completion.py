"""Checkpoints go when a job has succeeded, but for one that nobody can record as done."""

import subprocess
import sys

import pytest
from orphaned import ended_process, orphaned
from tiny_run import BASE, make_files, make_job, same_run

from rlvr.config.build import build
from rlvr.config.policy import TinyPolicyConfig
from rlvr.files import read_json
from rlvr.liveness import process_runs
from rlvr.training import base, grpo
from rlvr.training.completion import is_orphan, release_checkpoints
from rlvr.training.run import train_policy


def never(*arguments, **named):
    raise AssertionError("this had been done before")


@pytest.fixture(scope="module")
def undisturbed(small_base, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train_policy(make_job(), make_files(small_base, out))
    return out


def test_a_zombie_does_not_run():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_runs(process.pid)
    process.stdin.close()
    while process_runs(process.pid):  # it has not been waited for, so it stays in the table
        pass
    assert process.wait() == 1
    assert not process_runs(ended_process())


@pytest.mark.parametrize("through", [[], ["bash", "-c", 'set -eu; "$@"; true', "bash"]])
def test_a_job_learns_that_its_starter_has_ended(tmp_path, through):
    """A middle process starts the job, through a shell or not, and is killed while it runs."""
    answers = tmp_path / "answers"
    job = f"""
import os, time
from pathlib import Path
from rlvr.training.completion import is_orphan, starter
answers = Path({str(answers)!r})
answers.write_text(str(is_orphan()))
while os.path.exists(f"/proc/{{starter()}}"):
    time.sleep(0.01)
answers.with_name("last").write_text(str(is_orphan()))
"""
    middle = f"import subprocess; subprocess.run({[*through, sys.executable, '-c', job]!r})"
    process = subprocess.Popen([sys.executable, "-c", middle])
    while not (answers.exists() and answers.read_text()):
        assert process.poll() is None
    assert answers.read_text() == "False"
    process.kill()
    process.wait()
    last = answers.with_name("last")
    while not (last.exists() and last.read_text()):
        pass
    assert last.read_text() == "True"


def test_an_orphans_checkpoints_stay_and_it_says_so(tmp_path, monkeypatch, caplog):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    with orphaned(monkeypatch):
        assert is_orphan()
        release_checkpoints(checkpoints)
    assert checkpoints.is_dir()
    assert "will ask for these outputs again" in caplog.text
    release_checkpoints(checkpoints)
    assert not checkpoints.exists()


def test_what_an_orphan_has_trained_is_only_written_again(small_base, undisturbed, tmp_path, monkeypatch):
    first, second = (make_files(small_base, tmp_path / name) for name in ("first", "second"))
    with orphaned(monkeypatch):
        train_policy(make_job(), first)
    (tmp_path / "first" / "checkpoints").rename(tmp_path / "checkpoints")
    (tmp_path / "second").mkdir()
    (tmp_path / "checkpoints").rename(tmp_path / "second" / "checkpoints")
    monkeypatch.setattr(grpo, "train_step", never)
    train_policy(make_job(), second)
    same_run(tmp_path / "second", undisturbed)
    assert (tmp_path / "second" / "snapshots" / "step2").is_dir()
    assert not (tmp_path / "second" / "checkpoints").exists()


def test_an_orphaned_base_policy_is_only_written_again(tmp_path, monkeypatch):
    config = build(TinyPolicyConfig, BASE | {"sft": BASE["sft"] | {"steps": 5}})
    arguments = (config, "", "cpu", tmp_path / "policy", tmp_path / "metrics.csv", tmp_path / "checkpoints")
    with orphaned(monkeypatch):
        base.prepare_base_policy(*arguments)
    weights = (tmp_path / "policy" / "model.safetensors").read_bytes()
    monkeypatch.setattr(base.Sft, "_step", never)
    base.prepare_base_policy(*arguments)
    assert (tmp_path / "policy" / "model.safetensors").read_bytes() == weights
    assert read_json(tmp_path / "policy" / "config.json")["vocab_size"]
    assert not (tmp_path / "checkpoints").exists()
