"""A job's log holds everything that the job wrote, and ends plainly on a mistake of a person."""

import subprocess
import sys

import pytest

JOB = """
import ctypes, logging, os, subprocess, sys, warnings
from rlvr.errors import UserError
from rlvr.joblog import log_to
log_to({log!r})
{body}
"""


def run_job(tmp_path, body):
    log = tmp_path / "logs" / "job.log"
    job = subprocess.run(
        [sys.executable, "-c", JOB.format(log=str(log), body=body)],
        capture_output=True,
        text=True,
        check=False,
    )
    return job, log.read_text()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("logging.getLogger('rlvr.x').info('step %d', 3)", "step 3"),
        ("print('printed')", "printed"),
        ("subprocess.run(['echo', 'from a child'])", "from a child"),
        ("libc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None)", "from C"),
        ("warnings.warn('careful')", "careful"),
    ],
)
def test_everything_goes_to_the_log(tmp_path, body, text):
    job, log = run_job(tmp_path, body)
    assert job.returncode == 0
    assert text in log
    assert job.stdout == job.stderr == ""


def test_a_mistake_of_a_person_ends_the_log_with_one_plain_line_and_fails(tmp_path):
    job, log = run_job(tmp_path, "raise UserError('train.jsonl:118: answer is empty')")
    assert job.returncode == 1
    assert log.splitlines()[-1].endswith("error: train.jsonl:118: answer is empty")
    assert "Traceback" not in log


def test_a_fault_of_the_program_keeps_its_traceback_and_fails(tmp_path):
    job, log = run_job(tmp_path, "{}['gone']")
    assert job.returncode == 1
    assert "Traceback" in log
    assert log.splitlines()[-1] == "KeyError: 'gone'"


def test_a_second_attempt_starts_a_new_log(tmp_path):
    run_job(tmp_path, "print('first')")
    _, log = run_job(tmp_path, "print('second')")
    assert log == "second\n"


def test_a_sigterm_is_logged_cleans_up_and_fails(tmp_path):
    body = """
import signal
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    print("cleaned up")
"""
    job, log = run_job(tmp_path, body)
    assert job.returncode == 143
    assert "SIGTERM: the job ends here" in log
    assert log.splitlines()[-1] == "cleaned up"
