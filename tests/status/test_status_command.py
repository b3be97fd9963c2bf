"""What the command shows of studies that run, have failed, have died, or do not exist."""

import os
import time
from datetime import datetime, timedelta

import pytest
from snakemake_log import END, HEAD, clock, fail, finish, start

from rlvr.__main__ import main
from rlvr.status.screen import headline, read_status, studies_of

TRAINING = start(0, 4, "train_policy", "fp32/seed1", "mode=fp32, seed=1")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes the log of the workflow, in a folder where a job of the study `study` trains."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    job = tmp_path / "results" / "study" / "logs" / "train_policy" / "fp32" / "seed1.log"
    job.parent.mkdir(parents=True)
    job.write_text("10:00:00 step 3/9 reward 0.100 accuracy 0.5\n")
    log = tmp_path / ".snakemake" / "log" / "2025-11-26T100000.000000.snakemake.log"
    log.parent.mkdir(parents=True)

    def write(*parts, age=0.0):
        log.write_text(HEAD + "".join(parts))
        for file in (log, job):
            os.utime(file, (time.time() - age,) * 2)
        return tmp_path / "results" / "study"

    return write


def test_a_running_study_shows_jobs_step_and_reward(project, capsys):
    project(
        TRAINING, start(0, 7, "train_policy", "fp32/seed2", "mode=fp32"), finish(60, 7, "train_policy", 1)
    )
    assert main(["status", "results/study"]) == 0
    shown = capsys.readouterr().out
    assert "results/study: 1 of 7 jobs of the last start done" in shown
    (row,) = [line for line in shown.splitlines() if "train_policy/fp32/seed1" in line]
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["running", "3/9", "reward 0.100 accuracy 0.5"]
    assert "train_policy/fp32/seed2" not in shown  # done


def test_headline_of_a_running_study_estimates_the_rest(project):
    study = project(TRAINING, start(0, 7, "train_policy", "b", "x=1"), finish(60, 7, "train_policy", 1))
    now = datetime(2025, 11, 26, 10, 1)
    # Five jobs to come and none of them of a known length but a minute, two at a time.
    assert headline(read_status(study), now).endswith("about 2 min left")
    assert headline(read_status(project(TRAINING)), now).endswith("time left not known yet")


def test_a_failure_is_shown_with_the_last_words_of_its_log(project, capsys):
    project(TRAINING, fail(20, 4, "train_policy", "fp32/seed1"), END)
    log = "results/study/logs/train_policy/fp32/seed1.log"
    with open(log, "a") as file:
        file.write("10:00:09 error: precision.modes: no such mode\n\n")
    assert main(["status", "results/study"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "0 of 7 jobs of the last start done, 1 failed; it has ended" in shown
    expected = "failed: train_policy mode=fp32, seed=1: 10:00:09 error: precision.modes: no such mode"
    assert f"{expected} ({log})" in shown


def test_a_workflow_without_news_is_said_to_be_so(project):
    study = project(TRAINING, age=7200)
    now = datetime(2025, 11, 26, 12, 0) + timedelta(seconds=1)
    assert "no news for 2.0 h" in headline(read_status(study), now)


def test_an_ended_study_has_nothing_left(project):
    done = [finish(60 + n, 4, "train_policy", n) for n in range(1, 8)]
    study = project(TRAINING, *done, END)
    assert headline(read_status(study), datetime.now()) == "7 of 7 jobs of the last start done"


def test_without_a_log_of_the_workflow_the_jobs_logs_are_counted(project, tmp_path):
    study = project(clock(0))
    for log in (tmp_path / ".snakemake" / "log").iterdir():
        log.unlink()
    text = headline(read_status(study), datetime.now())
    said = (
        "0 of 1 jobs that told of their progress are done; Snakemake has written no log, as with --quiet all"
    )
    assert text == said


def test_all_studies_of_a_folder(project, tmp_path):
    study = project(TRAINING)
    assert studies_of("results") == [study.relative_to(tmp_path)]


def test_a_folder_without_a_study_is_an_error(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert "no study has begun there" in capsys.readouterr().err
