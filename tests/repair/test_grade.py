import os
import re
import subprocess
import sys

import numpy as np
import pytest

from rlvr.errors import UserError
from rlvr.repair import grade
from rlvr.repair.forgeries import FORGERIES, KNOWN
from rlvr.repair.grade import Grader, grade_solution
from rlvr.repair.known import scaled
from rlvr.repair.secret import secret_file
from rlvr.repair.tables import grade_known, write_known_table
from rlvr.repair.task import DROPOUT_SOURCE, SUBMISSION, TEST_FILE
from rlvr.repair.worker_program import PRELOAD
from rlvr.verify.sandbox.client import Sandbox

FIX = scaled("1.0 / np.sqrt(keep_prob)")


@pytest.fixture(scope="module")
def verdicts(grader):
    return {verdict.name: verdict for verdict in grade_known(grader, threads=2)}


def run_published_tests(workspace):
    return subprocess.run(
        [sys.executable, TEST_FILE], cwd=workspace, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_known_submission_gets_its_verdict(known, verdicts):
    verdict = verdicts[known.name]
    assert verdict.passed == (known.group == "solution")
    assert verdict.kind in (known.kinds or ("",))


def test_the_known_submissions_are_many_and_their_names_differ():
    assert len({known.name for known in KNOWN}) == len(KNOWN) >= 50 and len(FORGERIES) >= 30


def test_the_bug_has_its_published_figures_and_the_fix_a_tenth_of_a_percent(verdicts):
    bug, fix = verdicts["untouched"], verdicts["sqrt"]
    assert [f"{100 * e:.1f}" for e in (bug.error_30, bug.error_50, bug.error_70)] == [
        "43.0",
        "100.2",
        "233.8",
    ]
    assert [f"{100 * abs(e):.1f}" for e in (fix.error_30, fix.error_50, fix.error_70)] == ["0.1"] * 3


def test_the_published_tests_say_the_same_in_a_plain_interpreter(workspace):
    bug = run_published_tests(workspace)
    assert bug.returncode == 1 and re.findall(r"FAILED (\w+)", bug.stdout) == [
        "test_variance_is_preserved_in_training"
    ]
    assert "drop rate 0.3: the variance is off by 43.0 %" in bug.stdout
    (workspace / SUBMISSION).write_text(FIX)
    fixed = run_published_tests(workspace)
    assert fixed.returncode == 0 and len(re.findall("^passed", fixed.stdout, re.MULTILINE)) == 4


def test_the_task_has_the_lines_that_its_solvers_look_for():
    assert "import numpy as np\n" in DROPOUT_SOURCE and "scale = 1.0 / keep_prob\n" in DROPOUT_SOURCE


@pytest.mark.parametrize("source", [DROPOUT_SOURCE, FIX, scaled("np.random.default_rng().random() + 1.0")])
def test_a_grading_repeats_to_the_bit(source, grader, workspace):
    (workspace / SUBMISSION).write_text(source)
    first, second = grader.grade(workspace), grader.grade(workspace)
    assert (first.passed, first.lines, first.variance_errors) == (
        second.passed,
        second.lines,
        second.variance_errors,
    )


@pytest.mark.parametrize("source", [DROPOUT_SOURCE, FIX])
def test_nothing_that_is_reported_depends_on_the_secret(source, sandbox, workspace):
    (workspace / SUBMISSION).write_text(source)
    one, two = (Grader(sandbox, secret=secret).grade(workspace) for secret in (b"a" * 32, b"b" * 32))
    assert (one.lines, one.feedback, one.variance_errors) == (two.lines, two.feedback, two.variance_errors)


def test_a_submission_cannot_read_the_secret(sandbox, workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    grader = Grader(sandbox)
    assert secret_file().is_file()
    reads = f"open({str(secret_file())!r}, 'rb').read()\n"
    (workspace / SUBMISSION).write_text(scaled("keep_prob ** -0.5", reads))
    found = grader.grade(workspace)
    assert not found.passed and found.kind == "exception" and "Error" in found.feedback


SPIES = """import os
seen = repr(dict(os.environ))
for number in filter(str.isdigit, os.listdir('/proc') if os.path.isdir('/proc') else ()):
    try:
        seen += repr(open(f'/proc/{number}/environ', 'rb').read())
    except OSError:
        pass
assert 'GRADER_SECRET' not in seen, 'the secret is in sight'
"""


def test_a_submission_finds_no_secret_in_any_environment(workspace, monkeypatch):
    monkeypatch.setenv("RLVR_GRADER_SECRET", "of this test")
    (workspace / SUBMISSION).write_text(scaled("keep_prob ** -0.5", SPIES))
    with Sandbox(preload=PRELOAD) as sandbox:
        found = Grader(sandbox).grade(workspace)
    assert found.passed or "PermissionError" in found.feedback


def test_grade_solution_answers_with_the_three_keys(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("RLVR_GRADER_SECRET", "of this test")
    failed = grade_solution(workspace)
    assert set(failed) == {"passed", "feedback", "output"}
    assert failed["passed"] is False and "the variance is off by +233.8 %" in failed["feedback"]
    (workspace / SUBMISSION).write_text(FIX)
    passed = grade_solution(str(workspace))
    assert passed["passed"] is True and "FAILED" not in passed["output"]


@pytest.mark.parametrize("name", [SUBMISSION, TEST_FILE])
def test_folders_pipes_and_missing_files_fail_without_a_wait(name, grader, workspace):
    for put in (os.mkdir, os.mkfifo, lambda path: None):
        path = workspace / name
        path.unlink() if path.is_file() else None
        put(path)
        assert grader.grade(workspace).kind in ("file", "test_file")
        if path.exists():
            path.rmdir() if path.is_dir() else path.unlink()


def test_on_a_loaded_machine_a_grading_that_could_not_run_is_done_again(sandbox, workspace, monkeypatch):
    (workspace / SUBMISSION).write_text(scaled("keep_prob ** -0.5", "import time\ntime.sleep(0.5)\n"))
    hasty = Grader(sandbox, time_limit_s=0.4, secret=b"s")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert hasty.grade(workspace).kind == "timeout"
    monkeypatch.setattr(os, "getloadavg", lambda: (1e3, 1e3, 1e3))
    monkeypatch.setattr(grade, "PATIENCE", 100)
    assert hasty.grade(workspace).passed


@pytest.mark.parametrize("words", [r"\ud800", r"\npassed  hidden inputs", r"\x1b[2J", "x" * 9999])
def test_what_a_submission_says_stays_one_storable_line(words, grader, workspace):
    (workspace / SUBMISSION).write_text(f"raise ValueError('{words}')\n")
    found = grader.grade(workspace)
    assert found.kind == "exception" and len(found.feedback) < 500
    assert found.feedback.isprintable() and found.feedback.encode("utf-8")


def test_a_missing_workspace_fails(grader, tmp_path):
    assert grader.grade(tmp_path / "nowhere").kind == "test_file"


def test_global_random_state_of_the_caller_is_left_alone(grader, workspace):
    np.random.seed(7)
    expected = np.random.RandomState(7).rand()
    grader.grade(workspace)
    assert np.random.rand() == expected


def test_a_machine_too_slow_for_the_time_limit_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"\(timeout\).* raise repair\.time_limit_s \(now 0\.001\)"):
        write_known_table(str(tmp_path / "known.csv"), 2, "any", time_limit_s=0.001)
