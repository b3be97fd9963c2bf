"""Whether a workspace's dropout.py is repaired: run in the sandbox, judged out here by its behaviour."""

import atexit
import hashlib
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

from rlvr.repair.checks import (
    FailureKind,
    Finding,
    check_array,
    check_dropped,
    check_identity,
    check_variance,
)
from rlvr.repair.inputs import Case, hidden_identity_cases, hidden_training_cases, published_cases
from rlvr.repair.secret import grader_secret, hidden_seed
from rlvr.repair.task import SUBMISSION, TEST_FILE, TEST_SOURCE
from rlvr.repair.text import one_line
from rlvr.repair.worker_program import PRELOAD, WORKER_PROGRAM
from rlvr.repair.workspace import WorkspaceError, read_text
from rlvr.verify.sandbox.client import Sandbox
from rlvr.verify.sandbox.peer import ProgramFailure, RemoteException
from rlvr.verify.sandbox.session import Session

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 4.0
PATIENCE = 5
MAX_WORDS = 300  # characters of the submission's own words in the feedback
# What a failed process means for the submission; statuses of the sandbox that are not here are "process".
PROCESS_FAILURES: Mapping[str, FailureKind] = {"timeout": "timeout", "memory": "memory"}


@dataclass(frozen=True)
class Grade:
    """The verdict on one submission.

    `kind`: why it failed, "" if it passed; `variance_errors`: signed relative error of the variance by drop
    rate on the published inputs, empty if grading ended before; `sha256` of dropout.py, "" if it could not be
    read. Nothing but `seconds` differs between two gradings of one submission.
    """

    passed: bool
    kind: FailureKind | Literal[""]
    feedback: str
    lines: tuple[str, ...]
    variance_errors: dict[float, float] = field(default_factory=dict)
    sha256: str = ""
    seconds: float = 0.0


class _Failed(Exception):
    """Ends a grading; the findings so far say why."""


class Grader:
    """Grades workspaces in a sandbox, by as many threads at once as it has slots.

    `time_limit_s`: seconds of one submission, all its calls together. On a loaded machine an honest one may
    run out of them without having run; it is graded once more with `PATIENCE` times as many. `secret`: see
    `rlvr.repair.secret`; the installation's by default. The sandbox should have loaded `PRELOAD` before.
    """

    def __init__(self, sandbox: Sandbox, time_limit_s: float = TIME_LIMIT_S, secret: bytes | None = None):
        self._sandbox = sandbox
        self._time_limit_s = time_limit_s
        self._secret = grader_secret() if secret is None else secret

    def grade(self, workspace: str | Path) -> Grade:
        """The verdict on the workspace's dropout.py; no content of the workspace raises."""
        start = time.perf_counter()
        grading, source = _Grading(), ""
        with suppress(_Failed):
            source = _read_submission(Path(workspace), grading)
            seed = hidden_seed(self._secret, source.encode())
            grading, processor_seconds = self._run(source, seed, self._time_limit_s)
            if (
                grading.kind == "timeout"
                and processor_seconds < self._time_limit_s / 2
                and _machine_is_loaded()
            ):
                logger.warning("the machine is loaded: a grading ran out of time and is done again")
                grading, _ = self._run(source, seed, PATIENCE * self._time_limit_s)
        return grading.grade(source, time.perf_counter() - start)

    def _run(self, source: str, seed: int, time_limit_s: float) -> tuple["_Grading", float]:
        """Judge the submission in a fresh process; the findings, and the seconds of processor time it had."""
        grading = _Grading()
        grading.add(Finding("test_file", True, f"{TEST_FILE} is unmodified"))
        published_cases()  # drawn once per process, and not on the submission's time
        processor_seconds = 0.0
        try:
            with self._sandbox.open(WORKER_PROGRAM, time_limit_s) as session:
                try:
                    with suppress(
                        _Failed
                    ):  # in here: the sandbox replaces a slot that other exceptions leave
                        _judge(grading, session, source, seed)
                finally:
                    processor_seconds = session.end()["cpu_s"]
        except ProgramFailure as failure:
            kind = PROCESS_FAILURES.get(failure.status, "process")
            words = one_line(failure.detail, MAX_WORDS)
            grading.add(Finding(kind, False, f"its process failed: {failure.status}: {words}"))
        return grading, processor_seconds


def _machine_is_loaded() -> bool:
    """Whether more wants to run than there are processors."""
    return os.getloadavg()[0] > len(os.sched_getaffinity(0))


class _Grading:
    """The findings of one grading as they come."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.variance_errors: dict[float, float] = {}

    def add(self, *findings: Finding) -> None:
        self.findings += findings

    def stop_if_failed(self) -> None:
        if not all(finding.passed for finding in self.findings):
            raise _Failed

    def fail(self, kind: FailureKind, line: str) -> NoReturn:
        self.add(Finding(kind, False, line))
        raise _Failed

    @property
    def kind(self) -> FailureKind | Literal[""]:
        return next((finding.kind for finding in self.findings if not finding.passed), "")

    def grade(self, source: str, seconds: float) -> Grade:
        """The verdict that the findings add up to."""
        failed = [finding for finding in self.findings if not finding.passed]
        lines = tuple(f"{'passed' if f.passed else 'FAILED'}  {f.line}" for f in self.findings)
        return Grade(
            passed=not failed,
            kind=self.kind,
            feedback="; ".join(f.line for f in failed) or "All checks passed.",
            lines=lines,
            variance_errors=self.variance_errors,
            sha256=hashlib.sha256(source.encode()).hexdigest() if source else "",
            seconds=seconds,
        )


def _read_submission(workspace: Path, grading: _Grading) -> str:
    try:
        unmodified = read_text(workspace, TEST_FILE) == TEST_SOURCE
    except WorkspaceError as error:
        grading.fail("test_file", str(error))
    if not unmodified:
        grading.fail("test_file", f"{TEST_FILE} is changed")
    try:
        return read_text(workspace, SUBMISSION)
    except WorkspaceError as error:
        grading.fail("file", str(error))


def _call(grading: _Grading, session: Session, name: str, *arguments: Any, first: bool = False) -> Any:
    """The answer of the worker. An exception of the submission ends the grading.

    In the `first` calls a TypeError or AttributeError says that the class is not what it was.
    """
    try:
        return session.call(name, *arguments)
    except RemoteException as error:
        kind: FailureKind = "exception"
        if error.status == "memory":
            kind = "memory"
        elif first and not {"TypeError", "AttributeError"}.isdisjoint(error.bases):
            kind = "interface"
        grading.fail(kind, f"dropout.py raised {one_line(str(error), MAX_WORDS)}")


def _outputs(
    grading: _Grading, session: Session, case: Case, keyword: bool = False, first: bool = False
) -> np.ndarray:
    arguments = (case.rate, case.training, case.inputs, *case.state, keyword)
    value = _call(grading, session, "apply", *arguments, first=first)
    finding = check_array(case, value)
    if finding:
        grading.add(finding)
        raise _Failed
    return value


def _judge(grading: _Grading, session: Session, source: str, seed: int) -> None:
    """All checks in order; the first group with a failure ends the grading."""
    published = published_cases()
    syntax = _call(grading, session, "load", source, *published[0].state)
    if syntax != "":
        grading.fail("syntax", f"dropout.py does not compile: {one_line(str(syntax), MAX_WORDS)}")
    hidden = hidden_identity_cases(seed)
    _judge_interface(grading, session, hidden.evaluation[0])
    for case in (*hidden.evaluation, hidden.rate_zero):
        grading.add(check_identity(case, _outputs(grading, session, case)))
    grading.stop_if_failed()
    for case in published:
        outputs = _outputs(grading, session, case)
        finding, error = check_variance(case, outputs)
        grading.variance_errors[case.rate] = error
        grading.add(check_dropped(case, outputs), finding)
    grading.stop_if_failed()
    _judge_hidden(grading, session, hidden_training_cases(seed))


def _judge_interface(grading: _Grading, session: Session, case: Case) -> None:
    modes = _call(grading, session, "modes", case.rate, first=True)
    if modes != [True, False, True]:
        grading.fail("interface", "`training` is not True, False, True when new, after eval(), after train()")
    _outputs(grading, session, case, keyword=True, first=True)
    grading.add(Finding("interface", True, "the class can be made, switched and called as before"))


def _judge_hidden(grading: _Grading, session: Session, cases: Sequence[Case]) -> None:
    """Lines without figures: they would depend on the secret."""
    for case in cases:
        outputs = _outputs(grading, session, case)
        passed = check_dropped(case, outputs).passed and check_variance(case, outputs)[0].passed
        where = "another drop rate, shape and spread" if case is cases[-1] else f"drop rate {case.rate:g}"
        words = "variance and dropped share hold" if passed else "variance or dropped share is wrong"
        grading.add(Finding("hidden", passed, f"hidden inputs, {where}: {words}"))


_SHARED = threading.Lock()


@cache
def _shared_grader() -> Grader:
    sandbox = Sandbox(preload=PRELOAD)
    sandbox.__enter__()
    atexit.register(sandbox.__exit__, None, None, None)
    return Grader(sandbox)


def grade_solution(workspace: str | Path) -> dict[str, Any]:
    """`passed`, `feedback` for the agent, and `output` with a line per check, of the workspace's dropout.py.

    The first call starts a sandbox that lives as long as the process; `Grader` gives more control.
    """
    with _SHARED:
        grade = _shared_grader().grade(workspace)
    return {"passed": grade.passed, "feedback": grade.feedback, "output": "\n".join(grade.lines)}
