"""The commands `python -m rlvr repair demo` and `python -m rlvr repair validate`."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from rlvr.config.repair import RepairConfig
from rlvr.errors import UserError
from rlvr.folder_option import make_folder
from rlvr.joblog import CLOCK, LINE
from rlvr.repair.calibration import run_calibration
from rlvr.repair.calibration_files import CalibrationFiles
from rlvr.repair.grade import Grader
from rlvr.repair.known import scaled
from rlvr.repair.task import DROPOUT_SOURCE, SUBMISSION, setup_task_files
from rlvr.repair.worker_program import PRELOAD
from rlvr.verify.sandbox.client import Sandbox


def run(options: argparse.Namespace) -> int:
    """Run the command that the options name; the exit status."""
    logging.basicConfig(level=logging.INFO, format=LINE, datefmt=CLOCK, stream=sys.stderr)
    try:
        return _demo() if options.action == "demo" else _validate(options)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _demo() -> int:
    """Grade the task as it is, which must fail, and repaired, which must pass."""
    repaired = scaled("1.0 / np.sqrt(keep_prob)")
    verdicts = []
    with Sandbox(preload=PRELOAD) as sandbox, tempfile.TemporaryDirectory(prefix="rlvr-repair-") as folder:
        grader = Grader(sandbox)
        for title, source in (
            ("scale = 1.0 / keep_prob", DROPOUT_SOURCE),
            ("1.0 / np.sqrt(keep_prob)", repaired),
        ):
            setup_task_files(folder)
            (Path(folder) / SUBMISSION).write_text(source, encoding="utf-8")
            grade = grader.grade(folder)
            verdicts.append(grade.passed)
            lines = "".join(f"    {line}\n" for line in grade.lines)
            print(f"{title}: {'passed' if grade.passed else 'FAILED'} in {grade.seconds:.1f} s\n{lines}")
    if verdicts == [False, True]:
        print("As it should be: the bug fails, the fix passes.")
        return 0
    print("The verdicts are wrong; on a loaded machine a grading may run out of time.")
    return 1


def _validate(options: argparse.Namespace) -> int:
    config = RepairConfig(
        solver=options.solver,
        model=options.model,
        revision=options.revision,
        base_url=options.base_url,
        runs=options.runs,
        seed=options.seed,
        turns=options.turns,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        time_limit_s=options.time_limit,
        confidence=0.95,
        target=(0.1, 0.4),
    )
    folder = make_folder("--output-dir", options.output_dir)
    files = CalibrationFiles.in_folder(folder, folder / "checkpoints")
    rate = run_calibration(config, files, options.parallel, options.require_isolation, options.device).rate
    who = f"{config.solver} {config.model}".strip()
    print(
        f"{who}: {rate.passed} of {rate.runs} passed ({100 * rate.rate:.1f} %, 95 % interval "
        f"{100 * rate.low:.1f} to {100 * rate.high:.1f} %); target 10 to 40 %: {rate.verdict}\n"
        f"{files.summary}\n{files.results}"
    )
    return 0
