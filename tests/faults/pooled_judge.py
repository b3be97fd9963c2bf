"""The judge of exact answers in worker processes, which faults can strike."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rlvr.config.verification import VerificationConfig
from rlvr.data.problem import Problem
from rlvr.verify.exact import judge_exact
from rlvr.verify.pool import Outcome, TimeLimitedPool
from rlvr.verify.registry import VERIFIERS, BatchVerifier
from rlvr.verify.verdict import Response, Verdict

# So long a task takes, for a strike to meet a worker at work.
TASK_SECONDS = 0.001


def slow_exact_judge() -> Callable[[str, bool, str, str], dict]:
    """Runs in workers. The first that gets a `crash` leaves a file of that name and dies as by a bug in C."""

    def judge(text: str, finished: bool, answer: str, crash: str) -> dict:
        time.sleep(TASK_SECONDS)
        if crash and not os.path.exists(crash):
            Path(crash).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return asdict(judge_exact(Response(text, finished), Problem("", "", "", answer, "exact")))

    return judge


def _verdict(outcome: Outcome) -> Verdict:
    return Verdict(**outcome.value) if outcome.status == "done" else Verdict(0.0, False, "", outcome.status)


@contextmanager
def pooled_judge(crash: str = "", crash_at: int = 0) -> Iterator[None]:
    """While active, exact answers are judged in a pool; its task number `crash_at` is given `crash`."""

    @contextmanager
    def context(workers: int, config: VerificationConfig) -> Iterator[BatchVerifier]:
        judged = 0

        def judge(responses: Sequence[Response], problems: Sequence[Problem]) -> list[Verdict]:
            nonlocal judged
            tasks = []
            for response, problem in zip(responses, problems, strict=True):
                judged += 1
                mark = crash if judged == crash_at else ""
                tasks.append((response.text, response.finished, problem.answer, mark))
            return [_verdict(outcome) for outcome in pool.map(tasks)]

        with TimeLimitedPool(slow_exact_judge, workers, config.time_limit_s) as pool:
            yield judge

    before = VERIFIERS["exact"]
    VERIFIERS["exact"] = context
    # Workers import this module by its name.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    try:
        yield
    finally:
        VERIFIERS["exact"] = before
