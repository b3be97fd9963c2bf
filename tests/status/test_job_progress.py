"""Steps, rewards and accuracies come from the jobs' own logs; their states from that of the workflow."""

import os
import time

from snakemake_log import END, HEAD, finish, start

from rlvr.status.progress import job_progress
from rlvr.status.workflow import read_run


def _log(root, name, text, age=0.0):
    path = root / "results" / "study" / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def _progress(root, run=None):
    return {job.job: job for job in job_progress(root / "results" / "study", run)}


def test_states_without_a_log_of_the_workflow(tmp_path):
    _log(
        tmp_path,
        "train_policy/fp32/seed1/rep1.log",
        "12:00:00 step 3/9 reward 0.100\nstep 4/9 reward 0.200 left 5s\n",
    )
    _log(tmp_path, "train_policy/fp32/seed2/rep1.log", "step 9/9 reward 0.300\nwritten\n")
    _log(tmp_path, "train_policy/fp32/seed3/rep1.log", "step 2/9 reward 0.3\n", age=3600)
    _log(tmp_path, "train_policy/fp32/seed4/rep1.log", "starting\n")
    _log(tmp_path, "train_sft_arm/size=8.log", "seed 1 of 2\nstep 9/9 reward 0.3\n")
    _log(tmp_path, "evaluate_policy/fp32.log", "12:00:00 add: accuracy 0.5000 of 64 problems\n", age=3600)
    _log(tmp_path, "train_policy/fp32/seed5/rep1.log", "step 1/9 reward 0.3\n")
    for job, age in (
        ("train_policy/fp32/seed2/rep1", 0),
        ("evaluate_policy/fp32", 0),
        ("train_policy/fp32/seed5/rep1", 60),  # of an earlier start
    ):
        benchmark = tmp_path / "results" / "study" / "benchmarks" / f"{job}.tsv"
        benchmark.parent.mkdir(parents=True, exist_ok=True)
        benchmark.touch()
        os.utime(benchmark, (time.time() + 1 - age,) * 2)
    jobs = _progress(tmp_path)
    assert {name: (job.step, job.state) for name, job in jobs.items()} == {
        "evaluate_policy/fp32": ("", "done"),
        "train_policy/fp32/seed1/rep1": ("4/9", "running"),
        "train_policy/fp32/seed2/rep1": ("9/9", "done"),
        "train_policy/fp32/seed3/rep1": ("2/9", "quiet"),
        "train_policy/fp32/seed5/rep1": ("1/9", "running"),
        "train_sft_arm/size=8": ("9/9", "running"),
    }
    assert jobs["train_policy/fp32/seed1/rep1"].details == "reward 0.200 left 5s"


def test_an_arm_says_which_seed_it_trains(tmp_path):
    _log(
        tmp_path,
        "train_sft_arm/size=8.log",
        "12:00:00 arm size=8, seed 2 of 3\n12:00:01 step 1/2  loss 0.5\n",
    )
    (job,) = _progress(tmp_path).values()
    assert (job.step, job.details) == ("1/2", "seed 2/3, loss 0.5")


def test_an_evaluation_shows_the_accuracies_so_far(tmp_path):
    lines = (
        "10:22:08 add: all 475 prompts fit, the longest has 6 tokens\n"
        "10:22:08 add: accuracy 0.2500 of 16 problems × 2 samples\n"
        "10:22:09 dm_val: accuracy 0.5000 of 16 problems × 2 samples\n"
        "10:22:10 step 1, add: accuracy 0.1000, KL 0.0000 nats\n"
    )
    _log(tmp_path, "evaluate_policy/fp32/seed1/rep1/sums.log", lines)
    (job,) = _progress(tmp_path).values()
    assert job.details == "accuracy add 0.2500, dm_val 0.5000"


def test_the_workflow_decides_the_states_of_its_jobs(tmp_path):
    _log(tmp_path, "train_policy/a.log", "step 3/9 reward 0.1\n")
    _log(tmp_path, "train_policy/b.log", "step 4/9 reward 0.2\n")
    _log(tmp_path, "compare_updates/c.log", "")
    _log(tmp_path, "train_policy/earlier.log", "step 9/9 reward 0.2\n", age=9999)
    text = (
        HEAD
        + "".join(start(0, number, "train_policy", name, "x=1") for number, name in enumerate("abq"))
        + start(0, 7, "compare_updates", "c", "x=1")
        + finish(9, 0, "train_policy", 1)
    )
    jobs = _progress(tmp_path, read_run(text.splitlines()))
    assert {name: job.state for name, job in jobs.items()} == {
        "train_policy/a": "done",
        "train_policy/b": "running",
        "train_policy/q": "running",
        "train_policy/earlier": "done",
        "compare_updates/c": "running",
    }
    assert jobs["train_policy/q"].details == "no log yet: in the queue, or starting"
    stopped = _progress(tmp_path, read_run((text + END).splitlines()))
    assert stopped["train_policy/b"].state == "stopped"
