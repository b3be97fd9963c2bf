"""How often a solver repairs the task: the attempts, each kept as soon as it is graded."""

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from rlvr.config.repair import RepairConfig
from rlvr.files import remove, write_json, write_jsonl, write_text
from rlvr.provenance import digest, environment
from rlvr.repair.attempts import solve_and_grade
from rlvr.repair.calibration_files import CalibrationFiles
from rlvr.repair.grade import Grader
from rlvr.repair.record import AttemptRecord, make_record, read_record
from rlvr.repair.results import Calibration, result_record
from rlvr.repair.solvers import open_solver
from rlvr.repair.summary import summary_markdown
from rlvr.repair.task import DROPOUT_SOURCE
from rlvr.repair.worker_program import PRELOAD
from rlvr.sources import code_digest
from rlvr.training.completion import release_checkpoints
from rlvr.training.owner import only_process
from rlvr.verify.sandbox.client import Sandbox
from rlvr.verify.sandbox.rungs import isolation

logger = logging.getLogger(__name__)

# What changes no single attempt: a run with more of them reuses those that are finished.
NOT_OF_AN_ATTEMPT = ("runs", "confidence", "target")
ORIGINAL_SHA256 = hashlib.sha256(DROPOUT_SOURCE.encode()).hexdigest()


def run_calibration(
    config: RepairConfig,
    files: CalibrationFiles,
    parallel: int = 1,
    require_isolation: Literal["any", "strong"] = "any",
    device: str = "auto",
) -> Calibration:
    """Make `config.runs` attempts, grade them, and write the results; UserError names what a solver lacks.

    `parallel` attempts run at a time. A finished attempt is kept in the folder of checkpoints, so that a run
    that was cut off goes on after it; the folder goes when all is written. Neither `parallel` nor a cut
    changes a result, timings excepted.
    """
    with only_process(files.checkpoints):
        checkpoints = _Checkpoints(Path(files.checkpoints), config)
        pending = [number for number in range(config.runs) if number not in checkpoints.records]
        if pending:
            with (
                Sandbox(slots=parallel, require_isolation=require_isolation, preload=PRELOAD) as sandbox,
                open_solver(config, sandbox, device, parallel) as solver,
            ):
                grader = Grader(sandbox, config.time_limit_s)
                for start in range(0, len(pending), parallel):
                    batch = pending[start : start + parallel]
                    for attempt in solve_and_grade(solver, grader, batch):
                        checkpoints.keep(make_record(attempt, ORIGINAL_SHA256))
        records = [checkpoints.records[number] for number in range(config.runs)]
        calibration = Calibration(config, tuple(records))
        write_jsonl(files.transcripts, (_transcript(record) for record in records))
        write_text(files.summary, summary_markdown(calibration))
        write_json(files.provenance, _provenance(config))
        write_json(files.results, result_record(calibration))
        release_checkpoints(files.checkpoints)
    return calibration


def _provenance(config: RepairConfig) -> dict[str, object]:
    """What the results came from: code, versions, and the jail of the submissions."""
    return {
        "config_digest": digest(config),
        "code_digest": code_digest(__file__),
        **environment(),
        "isolation": asdict(isolation()),
    }


class _Checkpoints:
    """The finished attempts of one setting and code, a file each."""

    def __init__(self, folder: Path, config: RepairConfig):
        self._runs = config.runs
        setting = {key: value for key, value in asdict(config).items() if key not in NOT_OF_AN_ATTEMPT}
        self._folder = folder / digest([setting, code_digest(__file__)])[:16]
        self.records: dict[int, AttemptRecord] = {}
        for other in folder.iterdir() if folder.is_dir() else ():
            if other != self._folder:
                logger.warning("checkpoints %s belong to another setting or code; removed", other)
                remove(other)
        for path in sorted(self._folder.glob("attempt*.json")):
            self._load(path)
        if self.records:
            logger.info("going on after %d finished attempts", len(self.records))

    def _load(self, path: Path) -> None:
        try:
            record = read_record(path)
        except (ValueError, OSError) as problem:
            logger.warning("checkpoint %s is unreadable (%s); its attempt is made again", path, problem)
        else:
            self.records[record.number] = record

    def keep(self, record: AttemptRecord) -> None:
        """Write a finished attempt and log it."""
        write_json(self._folder / f"attempt{record.number:06d}.json", asdict(record))
        self.records[record.number] = record
        verdict = "passed" if record.passed else f"failed ({record.kind})"
        logger.info("attempt %d/%d %s %s", record.number + 1, self._runs, record.label, verdict)


def _transcript(record: AttemptRecord) -> dict[str, object]:
    plain = asdict(record)
    return {key: plain[key] for key in ("number", "label", "turns", "passed", "kind", "feedback")}
