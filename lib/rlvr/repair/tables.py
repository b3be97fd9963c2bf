"""The tables of the study: known submissions with their verdicts, and the variance error by drop rate."""

import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from rlvr.errors import UserError
from rlvr.files import write_csv
from rlvr.repair.forgeries import KNOWN
from rlvr.repair.grade import TIME_LIMIT_S, Grader
from rlvr.repair.known import KnownSubmission
from rlvr.repair.task import RATES
from rlvr.repair.variance_table import VarianceRow, variance_rows
from rlvr.repair.worker_program import PRELOAD
from rlvr.verify.sandbox.client import Sandbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownVerdict:
    """A known submission and what the grader says; `as_expected` if that is what it must say."""

    name: str
    group: str
    what: str
    must_pass: bool
    passed: bool
    kind: str
    as_expected: bool
    error_30: float | str
    error_50: float | str
    error_70: float | str


def grade_known(
    grader: Grader, threads: int, known: tuple[KnownSubmission, ...] = KNOWN
) -> list[KnownVerdict]:
    """The verdict of each known submission, in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda submission: _verdict(grader, submission), known))


def _verdict(grader: Grader, known: KnownSubmission) -> KnownVerdict:
    with tempfile.TemporaryDirectory(prefix="rlvr-repair-") as folder:
        known.write(Path(folder))
        grade = grader.grade(folder)
    expected = grade.passed if known.passes else grade.kind in known.kinds
    errors = (grade.variance_errors.get(rate, "") for rate in RATES)
    return KnownVerdict(
        known.name, known.group, known.what, known.passes, grade.passed, grade.kind, expected, *errors
    )


def write_known_table(
    path: str, parallel: int, require_isolation: Literal["any", "strong"], time_limit_s: float = TIME_LIMIT_S
) -> None:
    """Grade all known submissions in `parallel` slots, write a row each; UserError if a verdict is wrong."""
    with Sandbox(slots=parallel, require_isolation=require_isolation, preload=PRELOAD) as sandbox:
        verdicts = grade_known(Grader(sandbox, time_limit_s), parallel)
    write_csv(path, [field.name for field in fields(KnownVerdict)], map(asdict, verdicts))
    wrong = [f"{v.name} ({v.kind or 'passed'})" for v in verdicts if not v.as_expected]
    logger.info(
        "%d of %d known submissions have the verdict they must have",
        len(verdicts) - len(wrong),
        len(verdicts),
    )
    if wrong:
        raise UserError(
            f"the grader is wrong about {', '.join(wrong)}: see {path}; its rewards cannot be trusted here. "
            "If all ran into the time limit, the machine is too busy: try again, or raise "
            f"repair.time_limit_s (now {time_limit_s:g})"
        )


def write_variance_table(path: str) -> None:
    """Write theory and measurement of the variance error, a row per scale, mean and drop rate."""
    write_csv(path, [field.name for field in fields(VarianceRow)], map(asdict, variance_rows()))
