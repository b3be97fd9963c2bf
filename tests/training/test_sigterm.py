"""A job that gets a SIGTERM ends after its step with a checkpoint, and its retry gives the same result."""

import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
from sent_sigterm import end_by_sigterm
from tiny_run import make_files, make_job, same_run

from rlvr.sigterm import STATUS, Terminated, noted_sigterm
from rlvr.training import grpo
from rlvr.training.run import train_policy

JOB = """
import pickle, sys
from rlvr.joblog import log_to
log_to(sys.argv[2])
from rlvr.training.run import train_policy
train_policy(*pickle.load(open(sys.argv[1], "rb")))
"""


@pytest.fixture(scope="module")
def undisturbed(small_base, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train_policy(make_job(), make_files(small_base, out))
    return out


@pytest.mark.parametrize("step", [1, 3, 6])
def test_the_step_is_finished_and_the_rerun_gives_the_same_weights(
    small_base, undisturbed, tmp_path, monkeypatch, caplog, step
):
    files = make_files(small_base, tmp_path)
    end_by_sigterm(monkeypatch, grpo, "train_step", step, lambda: train_policy(make_job(), files))
    assert f"ended by SIGTERM after step {step} of 6, with a checkpoint" in caplog.text
    assert (tmp_path / "checkpoints" / f"step{step:07d}").is_dir()
    assert not (tmp_path / "policy").exists()
    train_policy(make_job(), files)
    same_run(tmp_path, undisturbed)


def test_a_scheduler_that_signals_every_process_of_a_job(small_base, tmp_path):
    steps = {"steps": 40, "checkpoint_every_steps": 100}
    train_policy(make_job(**steps), make_files(small_base, tmp_path / "undisturbed"))
    (tmp_path / "job").write_bytes(
        pickle.dumps((make_job(**steps), make_files(small_base, tmp_path / "told")))
    )
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", JOB, str(tmp_path / "job"), str(log)]
    with subprocess.Popen(command, start_new_session=True) as job:
        deadline = time.monotonic() + 120
        while not log.exists() or "step 1/40" not in log.read_text():
            assert job.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(job.pid, signal.SIGTERM)
        os.killpg(job.pid, signal.SIGTERM)  # some schedulers send it again; it still gets its step
        assert job.wait(120) == STATUS == 143
    assert log.read_text().count("SIGTERM: the job ends after the step it is in") == 1
    assert log.read_text().splitlines()[-1].endswith("the same command goes on from there")
    (checkpoint,) = (tmp_path / "told/checkpoints").glob("step*")
    assert 1 <= int(checkpoint.name[4:]) < 40
    subprocess.run(command, check=True)
    assert f"resuming from {checkpoint}" in log.read_text()
    same_run(tmp_path / "told", tmp_path / "undisturbed")


def test_a_signal_that_nobody_answers_is_sent_again():
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("outer"))
    try:
        with noted_sigterm() as request:
            signal.raise_signal(signal.SIGTERM)
            assert request.came
            assert not came
        assert came == ["outer"]
        with pytest.raises(Terminated), noted_sigterm() as request:
            signal.raise_signal(signal.SIGTERM)
            raise Terminated
        with noted_sigterm():
            pass
        assert came == ["outer"]
    finally:
        signal.signal(signal.SIGTERM, before)
