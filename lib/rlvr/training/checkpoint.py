"""Checkpoints of a running job: outside its declared outputs, checksummed, bound to config and code.

A checkpoint is a folder: `state.pt`, in which tensors that are divided among processes are only named,
`shards/` with these (torch.distributed.checkpoint: each process writes its parts, and any number of processes
reads them), and `facts.json`.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlvr.files import atomic_path, read_json, remove, sha256_file, write_json
from rlvr.processes import (
    is_first_process,
    of_all_processes,
    of_first_process,
    process_count,
    process_rank,
)
from rlvr.shards import is_sharded

logger = logging.getLogger(__name__)

STATE, SHARDS, FACTS = "state.pt", "shards", "facts.json"
# Stands in `state.pt` for a divided tensor, as a mapping: the name that it has in `shards/`.
NAMED = "divided among processes as"


def save_checkpoint(folder: str | Path, step: int, state: dict[str, Any], identity: str) -> None:
    """Write `state` after `step` finished steps, then drop all but the two newest checkpoints.

    `identity` is a digest of everything that must be equal for a resume to be exact (config, code, inputs).
    A collective of the processes that share the job: tensors may be divided among them, and everything else
    is taken from the first.
    """
    folder = Path(folder)
    divided: dict[str, Tensor] = {}
    plain = _named_shards(state, "", divided)
    with _atomic_for_all(folder / _name(step)) as checkpoint:
        if divided:
            from torch.distributed import checkpoint as distributed_checkpoint

            distributed_checkpoint.save(divided, checkpoint_id=checkpoint / SHARDS)
        if is_first_process():
            _write_state(plain, checkpoint / STATE)
        # Not before everyone has written: the first process finds all files.
        of_all_processes(None)
        hashes = _own_hashes(checkpoint, of_first_process(_content(checkpoint)))
        merged = {name: hash for part in of_all_processes(hashes) for name, hash in part.items()}
        if is_first_process():
            write_json(checkpoint / FACTS, {"step": step, "identity": identity, "sha256": merged})
    if is_first_process():
        for old in sorted(folder.glob("step*"))[:-2]:
            remove(old)


def load_checkpoint(folder: str | Path, identity: str) -> tuple[int, dict[str, Any]] | None:
    """Newest usable checkpoint as (finished steps, state), tensors on the CPU, or None.

    Tensors that were divided among processes are divided among those that load them, and whole in a process
    alone. One that is damaged (checksum) is passed over for the one before. One of another identity is
    removed: resuming across a changed config or code would spoil the run silently, and left there it would
    outlive the new run's own. Both are logged. A collective, as `save_checkpoint` is.
    """
    for checkpoint in of_first_process(sorted(Path(folder).glob("step*"), reverse=True)):
        facts, problem = of_first_process(_read_facts(checkpoint))
        if problem:
            logger.warning("checkpoint %s is unreadable (%s); trying the one before", checkpoint, problem)
        elif not all(
            of_all_processes(_own_hashes(checkpoint, facts["sha256"]).items() <= facts["sha256"].items())
        ):
            logger.warning("checkpoint %s is damaged (checksum); trying the one before", checkpoint)
        elif facts["identity"] != identity:
            logger.warning("checkpoint %s belongs to another config or code; removed", checkpoint)
            if is_first_process():
                remove(checkpoint)
        else:
            logger.info("resuming from %s", checkpoint)
            return facts["step"], _read_state(checkpoint)
    return None


def _name(step: int) -> str:
    return f"step{step:07d}"


@contextmanager
def _atomic_for_all(path: Path) -> Iterator[Path]:
    """A temporary folder that all processes write into; it gets its name when all have left the context."""
    if not is_first_process():
        yield of_first_process(path)
        of_all_processes(None)
        return
    with atomic_path(path) as temporary:
        temporary.mkdir()
        yield of_first_process(temporary)
        of_all_processes(None)


def _content(checkpoint: Path) -> list[str]:
    """The files of a checkpoint, by name relative to it."""
    return sorted(str(file.relative_to(checkpoint)) for file in checkpoint.rglob("*") if file.is_file())


def _own_hashes(checkpoint: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of this process's share of the files; "" for one that is missing."""
    own = sorted(names)[process_rank() :: process_count()]
    files = {name: checkpoint / name for name in own}
    return {name: sha256_file(file) if file.is_file() else "" for name, file in files.items()}


def _read_facts(checkpoint: Path) -> tuple[dict[str, Any], str]:
    """The facts of a checkpoint, and what is wrong with them, if anything."""
    try:
        facts = read_json(checkpoint / FACTS)
        if _name(facts["step"]) != checkpoint.name:
            raise ValueError(f"its facts are of step {facts['step']}")
        return {key: facts[key] for key in ("step", "identity", "sha256")}, ""
    except (OSError, ValueError, KeyError) as problem:
        return {}, repr(problem)


def _named_shards(value: Any, name: str, divided: dict[str, Tensor]) -> Any:
    """`value` with its divided tensors replaced by their names, shapes and dtypes; they go into `divided`."""
    if isinstance(value, dict):
        return {key: _named_shards(one, f"{name}/{key}", divided) for key, one in value.items()}
    if not isinstance(value, Tensor) or not is_sharded(value):
        return value
    divided[name] = value
    return {NAMED: name, "shape": tuple(value.shape), "dtype": value.dtype}


def _with_shards(value: Any, divided: dict[str, Tensor]) -> Any:
    """`_named_shards` undone, with empty tensors, which go into `divided` to be filled."""
    if not isinstance(value, dict):
        return value
    if NAMED in value:
        return divided.setdefault(value[NAMED], _empty(value["shape"], value["dtype"]))
    return {key: _with_shards(one, divided) for key, one in value.items()}


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU; where several processes share the job, divided among them."""
    if process_count() == 1:
        return torch.empty(shape, dtype=dtype)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, empty

    mesh = init_device_mesh("cpu", (process_count(),))
    return empty(shape, dtype=dtype, device_mesh=mesh, placements=[Shard(0)])


def _write_state(state: dict[str, Any], path: Path) -> None:
    """`torch.save`, which itself does not say so where the disk is full; OSError that names the file does."""
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error


def _read_state(checkpoint: Path) -> dict[str, Any]:
    divided: dict[str, Tensor] = {}
    plain = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    state = _with_shards(plain, divided)
    if divided:
        from torch.distributed import checkpoint as distributed_checkpoint

        alone = process_count() == 1
        distributed_checkpoint.load(divided, checkpoint_id=checkpoint / SHARDS, no_dist=alone)
    return state
