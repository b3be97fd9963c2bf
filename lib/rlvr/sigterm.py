"""SIGTERM, which a scheduler sends some time before it kills: a job ends in order, and its retry goes on.

A job's loop notes the signal, finishes the step it is in, writes a checkpoint and ends. Elsewhere a job ends
at once. Its worker processes do not see the signal, which schedulers send to every process of a job: a
worker that dies in the middle of a step would change what the step finds.
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

logger = logging.getLogger(__name__)

STATUS = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """A SIGTERM ends the process, with the exit status by which shells report it (143)."""

    def __init__(self) -> None:
        super().__init__(STATUS)


@dataclass
class Request:
    """Whether a SIGTERM has come."""

    came: bool = False


def end_on_sigterm() -> None:
    """From now on a SIGTERM is logged and raises Terminated where the process is, so that it cleans up."""
    signal.signal(signal.SIGTERM, _end_at_once)


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    logger.error("SIGTERM: the job ends here; the same command goes on from its newest checkpoint, if any")
    raise Terminated


@contextmanager
def noted_sigterm(end: str = "after the step it is in, with a checkpoint") -> Iterator[Request]:
    """While active, a SIGTERM is only noted; who asks for it calls `end_after` at the end of its step.

    One that is noted and not answered is sent again on leaving. To be used in the main thread. `end`: when
    the job will end, for the log.
    """
    request = Request()

    def note(number: int, frame: FrameType | None) -> None:
        if not request.came:
            logger.warning("SIGTERM: the job ends %s", end)
        request.came = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield request
    except Terminated:
        request.came = False
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if request.came:
            os.kill(os.getpid(), signal.SIGTERM)


def end_after(step: str) -> NoReturn:
    """Log that a checkpoint after `step` was written, and raise Terminated."""
    logger.error("ended by SIGTERM after %s, with a checkpoint; the same command goes on from there", step)
    raise Terminated


@contextmanager
def sheltered_from_sigterm() -> Iterator[None]:
    """Processes that are started while this is active never receive a SIGTERM (they inherit the mask)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
