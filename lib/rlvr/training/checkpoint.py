"""Checkpoints of a running job: outside its declared outputs, checksummed, bound to config and code."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rlvr.errors import UserError
from rlvr.files import atomic_path, read_json, remove, sha256_file, write_json

logger = logging.getLogger(__name__)


def save_checkpoint(folder: str | Path, step: int, state: dict[str, Any], identity: str) -> None:
    """Write `state` after `step` finished steps, then drop all but the two newest checkpoints.

    `identity` is a digest of everything that must be equal for a resume to be exact (config, code, inputs).
    """
    folder = Path(folder)
    with atomic_path(folder / f"step{step:07d}") as checkpoint:
        checkpoint.mkdir()
        torch.save(state, checkpoint / "state.pt")
        facts = {"step": step, "identity": identity, "sha256": sha256_file(checkpoint / "state.pt")}
        write_json(checkpoint / "facts.json", facts)
    for old in sorted(folder.glob("step*"))[:-2]:
        remove(old)


def load_checkpoint(folder: str | Path, identity: str) -> tuple[int, dict[str, Any]] | None:
    """Newest usable checkpoint as (finished steps, state), tensors on the CPU, or None.

    One that is damaged (checksum) is passed over for the one before. One of another identity is removed:
    resuming across a changed config or code would spoil the run silently, and left there it would outlive
    the new run's own. Both are logged.
    """
    for checkpoint in sorted(Path(folder).glob("step*"), reverse=True):
        try:
            facts = read_json(checkpoint / "facts.json")
            intact = facts["sha256"] == sha256_file(checkpoint / "state.pt")
        except (OSError, ValueError, KeyError) as problem:
            logger.warning("checkpoint %s is unreadable (%s); trying the one before", checkpoint, problem)
            continue
        if not intact:
            logger.warning("checkpoint %s is damaged (checksum); trying the one before", checkpoint)
        elif facts["identity"] != identity:
            logger.warning("checkpoint %s belongs to another config or code; removed", checkpoint)
            remove(checkpoint)
        else:
            logger.info("resuming from %s", checkpoint)
            state = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
            return facts["step"], state
    return None


@contextmanager
def only_process(folder: str | Path) -> Iterator[None]:
    """Hold the folder's lock; UserError if another living process holds it.

    After `kill -9` of Snakemake its jobs live on, and a rerun would start a second one on the same files.
    The kernel releases the lock when its process ends, however it ends.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"process {lock.read().strip()} still works on {folder}; "
                "wait until it ends, or end it, and run again"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def clear_checkpoints(folder: str | Path) -> None:
    """Remove the checkpoints of a job that has succeeded."""
    remove(Path(folder))
