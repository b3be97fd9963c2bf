"""One attempt of a calibration as it is kept: in a checkpoint, and in the results."""

from dataclasses import dataclass
from pathlib import Path

from rlvr.config.build import build
from rlvr.files import read_json
from rlvr.repair.attempts import GradedAttempt
from rlvr.repair.solver import Turn

UNTOUCHED = "untouched"


@dataclass(frozen=True)
class AttemptRecord:
    """An attempt and its verdict.

    `kind`: why it failed (`rlvr.repair.checks.FailureKind`, or "untouched" for the task's own dropout.py), ""
    if it passed. `variance_errors`: as in `Grade`, by the drop rate as text. `solving_seconds` is the
    attempt's share of the time that its batch took.
    """

    number: int
    label: str
    passed: bool
    kind: str
    feedback: str
    variance_errors: dict[str, float]
    sha256: str
    turns: tuple[Turn, ...]
    solving_seconds: float
    grading_seconds: float


def make_record(attempt: GradedAttempt, original_sha256: str) -> AttemptRecord:
    """The record of a graded attempt; `original_sha256` is the hash of the task's own dropout.py."""
    grade = attempt.grade
    untouched = grade.kind == "variance" and grade.sha256 == original_sha256
    return AttemptRecord(
        number=attempt.number,
        label=attempt.transcript.label,
        passed=grade.passed,
        kind=UNTOUCHED if untouched else grade.kind,
        feedback=grade.feedback,
        variance_errors={f"{rate:g}": error for rate, error in grade.variance_errors.items()},
        sha256=grade.sha256,
        turns=attempt.transcript.turns,
        solving_seconds=attempt.solving_seconds,
        grading_seconds=grade.seconds,
    )


def read_record(path: Path) -> AttemptRecord:
    """The record of a checkpoint file; any error of reading or form is a ValueError or OSError."""
    try:
        return build(AttemptRecord, read_json(path))
    except ExceptionGroup as errors:
        raise ValueError(f"{path}: is no record of an attempt") from errors
