"""Programs judged by tests: the program runs in a jail, the tests and the verdict stay outside of it."""

import atexit
import json
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Self

from rlvr.errors import UserError
from rlvr.verify.sandbox.client import Sandbox
from rlvr.verify.sandbox.helper import GRADER_MODULES, Helper, HelperDiedError, StartError
from rlvr.verify.sandbox.jail import RungName, executable, search_path
from rlvr.verify.sandbox.lending import Lender
from rlvr.verify.sandbox.limits import Limits
from rlvr.verify.sandbox.outcome import failure_of
from rlvr.verify.sandbox.session import request_of

CodeStatus = Literal["passed", "failed", "error", "timeout", "memory", "output_limit", "forbidden"]
DEFAULT_MEMORY_MB = 1024
_VERDICT_BYTES = 8_000
_DETAIL_LENGTH = 300
_STOP_CHECK_S = 0.2


@dataclass(frozen=True)
class CodeVerdict:
    """What became of a program under its tests; `detail` is a short text for people.

    failed: an assertion of the tests did not hold. error: an exception in program or tests, an exit, a
    missing entry point, a value that does not cross. timeout, memory, output_limit: a limit was met.
    forbidden: the sandbox refused an operation.
    """

    passed: bool
    status: CodeStatus
    detail: str


class CodeVerifier:
    """A context manager that runs cases in `workers` jails side by side; usable from several threads.

    `time_limit_s` is wall-clock time for one case: the program's definition and all of its tests. Raises
    UserError if `require_isolation` is "strong" and this machine has no strong jail. `rung` forces one,
    for tests.
    """

    def __init__(
        self,
        workers: int,
        time_limit_s: float,
        memory_mb: int = DEFAULT_MEMORY_MB,
        require_isolation: Literal["any", "strong"] = "any",
        rung: RungName | None = None,
    ) -> None:
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s is {time_limit_s}")
        self._workers = workers
        self._time_limit_s = time_limit_s
        self._sandbox = Sandbox(workers, Limits(memory_mb=memory_mb), require_isolation, rung)
        self._graders = Lender(_start_grader, workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes. The verifier can be used again: they start anew."""
        self._sandbox.close()
        self._graders.close()

    def run(self, cases: Sequence[tuple[str, str, str]]) -> list[CodeVerdict]:
        """Judge each (program, tests, entry_point), in order."""
        if len(cases) == 1 or self._workers == 1:
            return [self.judge(*case) for case in cases]
        stop = threading.Event()

        def judge(case: tuple[str, str, str]) -> CodeVerdict:
            return self._judge_twice(*case, self._time_limit_s, stop)

        with ThreadPoolExecutor(self._workers) as threads:
            try:
                return list(threads.map(judge, cases))
            except BaseException:
                stop.set()  # an interrupt does not wait for endless programs
                threads.shutdown(cancel_futures=True)
                raise

    def judge(
        self, program: str, tests: str, entry_point: str, time_limit_s: float | None = None
    ) -> CodeVerdict:
        """Judge one case, under a time limit of its own if one is given."""
        limit = self._time_limit_s if time_limit_s is None else time_limit_s
        return self._judge_twice(program, tests, entry_point, limit, threading.Event())

    def _judge_twice(
        self, program: str, tests: str, entry_point: str, limit: float, stop: threading.Event
    ) -> CodeVerdict:
        """Judge a case, and again if a server died: of something on the machine, or of this program."""
        case = {"program": program, "tests": tests, "entry_point": entry_point}
        try:
            return self._judge(case, limit, stop)
        except HelperDiedError:
            try:
                return self._judge(case, limit, stop)
            except HelperDiedError as error:
                return CodeVerdict(False, "error", str(error))

    def _judge(self, case: dict[str, str], limit: float, stop: threading.Event) -> CodeVerdict:
        limits = self._sandbox.limits
        graded = case | {
            "value_bytes": limits.value_bytes,
            "memory_mb": 2 * limits.memory_mb + 1024,
            "output_bytes": _VERDICT_BYTES,
        }
        with self._sandbox.slot() as slot, self._graders.lend() as grader:
            to_program, to_tests = socket.socketpair()
            with to_program, to_tests:
                deadline = time.monotonic() + limit
                slot.helper.run(request_of(limits, limit), to_program)
                grader.run(graded, to_tests)
            verdict = _wait(grader, deadline, stop) or grader.end()
            ended = slot.helper.end()
        return _verdict(verdict, ended)


def _wait(grader: Helper, deadline: float, stop: threading.Event) -> dict[str, Any] | None:
    """Return how the tests ended; None at the deadline, or soon after `stop` is set."""
    ended = None
    while ended is None and not stop.is_set() and (now := time.monotonic()) < deadline:
        ended = grader.wait(min(deadline, now + _STOP_CHECK_S))
    return ended


def _verdict(graded: dict[str, Any], ended: dict[str, Any]) -> CodeVerdict:
    """Put together what the tests say and how the program ended."""
    if graded["ended_by_us"]:
        return CodeVerdict(False, "timeout", "time limit")
    if graded["exit"] != 0:
        return CodeVerdict(False, "error", f"the tests ended with status {graded['exit']}")
    words = json.loads(graded["output"])
    if words["lost"]:
        failure = failure_of(ended)
        return CodeVerdict(False, failure.status, failure.detail[:_DETAIL_LENGTH])
    if words["status"] == "passed" and ended["overflow"]:
        return CodeVerdict(False, "output_limit", "printed more than the limit")
    return CodeVerdict(words["status"] == "passed", words["status"], words["detail"])


def _start_grader() -> Helper:
    try:
        return Helper([], executable(), GRADER_MODULES, {"search_path": search_path()})
    except (StartError, OSError) as error:
        raise UserError(f"The process that grades programs could not be started: {error}") from error


@cache
def _shared() -> CodeVerifier:
    verifier = CodeVerifier(workers=1, time_limit_s=1.0)
    atexit.register(verifier.close)
    return verifier


def run_tests(program: str, tests: str, entry_point: str, time_limit_s: float) -> CodeVerdict:
    """Judge a program with one jail that is kept for the whole process; CodeVerifier has more."""
    return _shared().judge(program, tests, entry_point, time_limit_s)
