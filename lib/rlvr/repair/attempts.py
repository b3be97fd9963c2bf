"""Attempts from start to verdict: fresh workspaces, a solver that edits them, and the grader."""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rlvr.repair.grade import Grade, Grader
from rlvr.repair.solver import Attempt, Solver, Transcript
from rlvr.repair.task import setup_task_files

GRADING_THREADS = 16  # more wait for a slot of the sandbox


@dataclass(frozen=True)
class GradedAttempt:
    """What a solver did and what it was worth; `solving_seconds` is its share of the time of its batch."""

    number: int
    transcript: Transcript
    grade: Grade
    solving_seconds: float


def solve_and_grade(solver: Solver, grader: Grader, numbers: Sequence[int]) -> list[GradedAttempt]:
    """Let the solver make the attempts of these numbers together, then grade them side by side; in order.

    Each has a workspace of its own, which is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="rlvr-repair-") as folder:
        attempts = [Attempt(number, Path(folder) / str(number)) for number in numbers]
        for attempt in attempts:
            setup_task_files(attempt.workspace)
        start = time.perf_counter()
        transcripts = solver.solve(attempts)
        seconds = (time.perf_counter() - start) / max(1, len(attempts))
        with ThreadPoolExecutor(GRADING_THREADS) as pool:
            grades = pool.map(grader.grade, [attempt.workspace for attempt in attempts])
            return [
                GradedAttempt(attempt.number, transcript, grade, seconds)
                for attempt, transcript, grade in zip(attempts, transcripts, grades, strict=True)
            ]
