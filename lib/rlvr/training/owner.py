"""One job at a time on a folder of checkpoints, on one machine and across the machines of a cluster.

After `kill -9` of Snakemake its jobs live on, and a rerun starts a second one on the same files. Two guards:
a lock, which the kernel releases when its process ends, and a claim with heartbeats (`rlvr.training.claims`),
since locks of a network file system may not reach other machines.
"""

import atexit
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from rlvr.errors import UserError
from rlvr.liveness import process_runs
from rlvr.training.claims import Claim, Owner, make_claim, newest_claim, this_machine

logger = logging.getLogger(__name__)

WhenTaken = Literal["stop", "wait"]

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
POLL_SECONDS = 1.0

_owned: set[Path] = set()


@dataclass(frozen=True)
class Pulse:
    """Seconds between signs of life, and of silence after which an owner elsewhere counts as dead."""

    every: float = 15.0
    dead_after: float = 120.0


@contextmanager
def only_process(
    folder: str | Path,
    when_taken: WhenTaken = "stop",
    pulse: Pulse = Pulse(),
) -> Iterator[None]:
    """Own the folder, which need not exist. If a living process owns it: UserError, or wait until it ends.

    An owner that is dead is replaced, which is logged: on this machine at once, on another one when it has
    been silent for long enough, which may have to be waited for. A process that owns the folder already just
    goes on.
    """
    path = Path(folder).absolute()
    if path in _owned:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, claim = _Candidate(path, when_taken, pulse).acquire()
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, claim, pulse, ended), daemon=True)
    heart.start()
    _owned.add(path)
    try:
        yield
    finally:
        _owned.remove(path)
        ended.set()
        heart.join()
        claim.path.unlink(missing_ok=True)
        lock.release()


def own_until_exit(folder: str | Path, when_taken: WhenTaken) -> None:
    """`only_process` for the rest of this process."""
    stack = ExitStack()
    stack.enter_context(only_process(folder, when_taken))
    atexit.register(stack.close)


@dataclass(frozen=True)
class _Lock:
    """A lock that is held, or none (`descriptor` None) where the file system has no locks."""

    path: Path
    descriptor: int | None

    def release(self) -> None:
        """Removed first: who has opened it by then sees that it is not the file of that name any more."""
        if self.descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(self.descriptor)


def _try_lock(folder: Path) -> _Lock | None:
    """The lock beside the folder; None if another process holds it."""
    path = folder.with_name(f".{folder.name}.lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                return _Lock(path, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass  # removed between the two looks at it
        except OSError as error:
            os.close(descriptor)
            if error.errno not in NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            _say_no_locks(folder, error.strerror)
            return _Lock(path, None)
        os.close(descriptor)


@cache
def _say_no_locks(folder: Path, reason: str) -> None:
    logger.warning("%s: no locks on this file system (%s); heartbeats alone guard it", folder, reason)


@dataclass(frozen=True)
class _Watched:
    """The newest heartbeat of a claim, when it was first seen, and whether there was another before it."""

    beat: float
    since: float
    changed: bool


@dataclass
class _Candidate:
    """A process that wants the folder. `watched`: what it has seen of claims."""

    folder: Path
    when_taken: WhenTaken
    pulse: Pulse
    watched: dict[Path, _Watched] = field(default_factory=dict)
    logged: set[tuple[Path, str]] = field(default_factory=set)

    def acquire(self) -> tuple[_Lock, Claim]:
        """The lock and the claim, as soon as both can be had."""
        while True:
            lock, rival = _try_lock(self.folder), newest_claim(self.folder)
            state = self._state(rival, lock)
            if lock is not None and state == "dead":
                if rival is not None:
                    logger.warning("taking over %s from %s, which has ended", self.folder, rival.owner)
                claim = make_claim(self.folder, rival.number + 1 if rival else 1, Owner.this_process())
                if claim is not None:
                    return lock, claim
            if lock is not None:
                lock.release()
            if state == "alive" and self.when_taken == "stop":
                assert rival is not None and rival.owner is not None  # somebody is alive
                raise UserError(self._refusal(rival.owner))
            self._log(rival, state)
            time.sleep(min(POLL_SECONDS, self.pulse.every))

    def _state(self, rival: Claim | None, lock: _Lock | None) -> Literal["alive", "dead", "unknown"]:
        """Of the rival: alive, dead (or there is none), or not known yet."""
        if rival is None:
            return "dead" if lock else "unknown"  # a process that holds the lock is about to make its claim
        try:
            return self._state_of_claim(rival, lock)
        except FileNotFoundError:  # it was given up while we looked
            return "unknown"

    def _state_of_claim(self, rival: Claim, lock: _Lock | None) -> Literal["alive", "dead", "unknown"]:
        owner = rival.owner
        if owner is not None and owner.machine == this_machine():
            if lock is None:
                return "alive"
            if lock.descriptor is not None or not process_runs(owner.pid):
                return "dead"
        watched = self._watch(rival)
        seconds = time.monotonic() - watched.since
        # The clock of the file system may have jumped either way; this process's own does not.
        long_silent = rival.silence() > self.pulse.dead_after and seconds > 2 * self.pulse.every
        if long_silent or seconds > self.pulse.dead_after:
            return "dead"
        return "alive" if watched.changed and owner is not None else "unknown"

    def _watch(self, rival: Claim) -> _Watched:
        beat, seen = rival.heartbeat(), self.watched.get(rival.path)
        if seen is None or seen.beat != beat:
            self.watched[rival.path] = _Watched(beat, time.monotonic(), seen is not None)
        return self.watched[rival.path]

    def _refusal(self, owner: Owner) -> str:
        return (
            f"{self.folder} is in use by {owner}, since {owner.since}: wait until it ends, or "
            f"end it with {owner.how_to_end}, and run again; checkpoint_lock: wait in the config makes "
            "a job wait by itself"
        )

    def _log(self, rival: Claim | None, state: str) -> None:
        if rival is None or rival.owner is None or (rival.path, state) in self.logged:
            return
        self.logged.add((rival.path, state))
        owner = f"{rival.owner}, since {rival.owner.since} (to end it: {rival.owner.how_to_end})"
        if state == "alive":
            logger.info("waiting: %s is in use by %s", self.folder, owner)
        else:
            logger.info(
                "%s was last in use by %s; looking up to %.0f s whether that still lives",
                self.folder,
                owner,
                self.pulse.dead_after,
            )


def _beat(folder: Path, claim: Claim, pulse: Pulse, ended: threading.Event) -> None:
    """Give signs of life until the end. If the folder is another's by now, end the process at once.

    That happens to a process that was stopped for so long that it counted as dead; both would write.
    """
    owner = claim.owner
    assert owner is not None  # the claim is this process's own
    while not ended.wait(pulse.every):
        try:
            newest = newest_claim(folder)
            if newest is None:  # somebody has cleared up
                newest = make_claim(folder, claim.number, owner)
            elif newest.owner == owner:
                os.utime(claim.path)
        except OSError as error:
            logger.warning("%s: no sign of life could be given (%s)", folder, error)
            continue
        if newest is not None and newest.owner not in (owner, None):
            logger.critical("this job was silent, and %s took over %s; it ends", newest.owner, folder)
            os._exit(1)
