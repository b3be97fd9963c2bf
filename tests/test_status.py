"""The status table reads progress lines of unfinished and finished jobs."""

import os
import subprocess
import sys
import time

from rlvr.status import read_status


def _log(root, name, text, age=0.0):
    path = root / "study" / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def test_states(tmp_path):
    _log(
        tmp_path,
        "train_policy/fp32/seed1/rep1.log",
        "12:00:00 step 3/9 reward 0.100\nstep 4/9 reward 0.200 left 5s\n",
    )
    _log(tmp_path, "train_policy/fp32/seed2/rep1.log", "step 9/9 reward 0.300\nwritten\n")
    _log(tmp_path, "train_policy/fp32/seed3/rep1.log", "step 2/9 reward 0.3\n", age=3600)
    _log(tmp_path, "train_policy/fp32/seed4/rep1.log", "starting\n")
    jobs = {job.job: job for job in read_status(tmp_path)}
    assert [(job.step, job.state) for job in jobs.values()] == [(4, "running"), (9, "trained"), (2, "quiet")]
    assert jobs["study/train_policy/fp32/seed1/rep1"].details == "reward 0.200 left 5s"


def test_command_line_shows_unfinished_jobs(tmp_path):
    _log(tmp_path, "train_base_policy.log", "step 10/90  loss 1.0\n")
    command = [sys.executable, "-m", "rlvr", "status", "--results", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "study/train_base_policy" in shown
    assert "10/90" in shown


def test_command_line_says_when_nothing_is_unfinished(tmp_path):
    command = [sys.executable, "-m", "rlvr", "status", "--results", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "0 of 0 started training jobs" in " ".join(shown.split())
