"""The log of a job: everything that the process and its children write goes into one file."""

import logging
import os
import sys
from pathlib import Path
from types import TracebackType

from rlvr.errors import UserError
from rlvr.quick_exit import skip_final_collection
from rlvr.sigterm import end_on_sigterm

LINE = "%(asctime)s %(message)s"
CLOCK = "%H:%M:%S"


def log_to(path: str | Path) -> None:
    """Send standard output and error of this process to `path` (a new file), and set up plain log lines.

    The redirect is at the level of descriptors, so that libraries in C and child processes are in it too. A
    UserError that nobody catches ends the log with `error: ...` instead of a traceback; like any other
    exception it still fails the job. A SIGTERM is logged too, and ends the process by an exception. Its
    end is quick, see `rlvr.quick_exit`.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    log_lines()


def log_lines() -> None:
    """`log_to` without the file: for a process that another has started, into that one's log."""
    logging.basicConfig(level=logging.INFO, format=LINE, datefmt=CLOCK, stream=sys.stderr, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _report_uncaught
    end_on_sigterm()
    skip_final_collection()


def _report_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger = logging.getLogger("rlvr")
    if isinstance(error, UserError):
        logger.error("error: %s", error)
    elif isinstance(error, KeyboardInterrupt):
        logger.error("interrupted; the same command goes on from the newest checkpoint")
    else:
        sys.__excepthook__(kind, error, trace)
