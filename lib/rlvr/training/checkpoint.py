"""Checkpoints of a running job: outside its declared outputs, checksummed, bound to config and code."""

import logging
from pathlib import Path
from typing import Any

import torch

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


def clear_checkpoints(folder: str | Path) -> None:
    """Remove the checkpoints of a job that has succeeded; a kill in the middle leaves no half of them."""
    folder = Path(folder)
    cleared = folder.with_name(f".{folder.name}.cleared")
    remove(cleared)
    if folder.is_dir():
        folder.rename(cleared)
        remove(cleared)
