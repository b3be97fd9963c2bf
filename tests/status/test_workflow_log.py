"""The log of the workflow: jobs done, running and failed, and the time that the rest takes."""

from datetime import datetime

import pytest
from snakemake_log import END, GROUP, HEAD, clock, fail, finish, start

from rlvr.status.workflow import last_log, read_log, read_run

TRAINING = start(0, 4, "train_policy", "fp32/seed1", "mode=fp32, seed=1")
SECOND = start(10, 5, "train_policy", "fp32/seed2", "mode=fp32, seed=2")


def run_of(*parts):
    return read_run("".join((HEAD, *parts)).splitlines(keepends=True))


def at(second):
    return datetime(2025, 11, 26, 10, second // 60, second % 60)


def test_jobs_are_counted_by_what_they_are_now():
    run = run_of(TRAINING, SECOND, finish(60, 4, "train_policy", 1))
    assert run.planned == {"train_policy": 3, "evaluate_policy": 3, "all": 1}
    assert (run.done, run.total, run.ended) == (1, 7, False)
    (running,) = run.in_state("running")
    assert (running.rule, running.wildcards) == ("train_policy", "mode=fp32, seed=2")
    assert running.log == "results/study/logs/train_policy/fp32/seed2.log"
    assert running.seconds(at(70)) == 60


def test_a_failed_job_that_is_tried_again_runs():
    failed = run_of(TRAINING, fail(20, 4, "train_policy", "fp32/seed1"))
    assert [job.id for job in failed.in_state("failed")] == [4]
    again = run_of(
        TRAINING,
        fail(20, 4, "train_policy", "fp32/seed1"),
        start(30, 4, "train_policy", "fp32/seed1", "mode=fp32, seed=1"),
    )
    assert again.in_state("failed") == []
    assert [job.seconds(at(40)) for job in again.in_state("running")] == [10]


def test_jobs_of_a_failed_group_are_failed():
    (job,) = run_of(GROUP).jobs
    assert (job.id, job.state, job.seconds(at(99))) == (4, "failed", 30)


def test_an_ended_start_is_known_by_its_last_lines():
    assert run_of(TRAINING, finish(60, 4, "train_policy", 1), END).ended


def test_time_left_by_hand():
    # Two trainings side by side took 60 s each, and an evaluation 20 s; one training runs for 30 s.
    run = run_of(
        TRAINING,
        start(0, 5, "train_policy", "fp32/seed2", "mode=fp32, seed=2"),
        finish(60, 4, "train_policy", 1),
        finish(60, 5, "train_policy", 2),
        start(60, 6, "train_policy", "fp32/seed3", "mode=fp32, seed=3"),
        start(60, 7, "evaluate_policy", "fp32/seed1", "mode=fp32, seed=1"),
        finish(80, 7, "evaluate_policy", 3),
    )
    # To come: two evaluations of 20 s, and `all`, as long as the mean of the three that are done, 140/3 s;
    # 30 s of the training that runs. 170 s of work in 90 s were 17/9 jobs side by side.
    assert run.seconds_left(at(90)) == pytest.approx((2 * 20 + 140 / 3 + 30) / (170 / 90))


def test_time_left_is_unknown_before_a_job_is_done():
    assert run_of(TRAINING).seconds_left(at(20)) is None
    assert run_of().seconds_left(at(0)) is None


def test_the_log_is_the_newest_that_names_the_study(tmp_path):
    logs = tmp_path / ".snakemake" / "log"
    logs.mkdir(parents=True)
    study = tmp_path / "results" / "study"
    assert last_log(study) is None
    (logs / "2025-11-26T1.snakemake.log").write_text(HEAD + TRAINING)
    (logs / "2025-11-26T2.snakemake.log").write_text(
        HEAD + TRAINING.replace("results/study/", "results/study2/")
    )
    (logs / "2025-11-26T3.snakemake.log").write_text("Congratulations, your workflow is in a good condition!")
    assert last_log(study).name == "2025-11-26T1.snakemake.log"


def test_a_log_that_grows_is_read_again(tmp_path):
    log = tmp_path / "x.log"
    log.write_text(HEAD + TRAINING)
    assert read_log(log).done == 0
    with log.open("a") as file:
        file.write(finish(60, 4, "train_policy", 1))
    assert read_log(log).done == 1


def test_half_a_line_at_the_end_is_no_news():
    assert run_of(TRAINING, clock(9), "Finished jobi").in_state("running")
