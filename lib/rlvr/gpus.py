"""Which GPUs a job may use, and which are in use by processes outside of the workflow."""

import itertools
import logging
import os
import pwd
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rlvr.errors import UserError

logger = logging.getLogger(__name__)

POOL_VARIABLE = "RLVR_GPUS"
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
STEP_VARIABLE = "SLURM_STEP_GPUS"
JOB_VARIABLE = "SLURM_JOB_ID"
# What ends a list of devices: for CUDA a number that is none, for older SLURMs the name of no device.
_END_MARKS = ("-1", "NoDevFiles")


@dataclass(frozen=True)
class Gpu:
    """`name` as CUDA_VISIBLE_DEVICES has it, an index (nvidia-smi's order) or a UUID; `key` is the same for
    all jobs: the UUID where it is known.
    """

    name: str
    key: str

    @property
    def lock_name(self) -> str:
        """Name of the file that is locked by who holds it."""
        return re.sub(r"[^\w-]", "_", self.key) + ".lock"


def _named(variable: str) -> list[str] | None:
    """The devices that a variable lists; None if it is not set."""
    if variable not in os.environ:
        return None
    names = [name.strip() for name in os.environ[variable].split(",") if name.strip()]
    return list(itertools.takewhile(lambda name: name not in _END_MARKS, names))


def given_without_names() -> bool:
    """Whether this is a SLURM job that has GPUs, but no CUDA_VISIBLE_DEVICES that lists them."""
    return JOB_VARIABLE in os.environ and VISIBLE_VARIABLE not in os.environ and bool(_named(STEP_VARIABLE))


def withheld_by_scheduler() -> str:
    """How the environment of a SLURM job says that it has no GPU, as `NAME=value`; "" where it does not."""
    if JOB_VARIABLE not in os.environ:
        return ""
    said = next((name for name in (VISIBLE_VARIABLE, STEP_VARIABLE) if name in os.environ), None)
    return f"{said}={os.environ[said]}" if said and not _named(said) else ""


def job_gpus() -> list[Gpu]:
    """The GPUs that a job may choose from: those of RLVR_GPUS, else of CUDA_VISIBLE_DEVICES, else all.

    UserError for one that the machine does not have. Without nvidia-smi names are taken as they are.
    """
    found = dict(_query("--query-gpu=index,uuid"))
    names = next(
        (list_ for list_ in map(_named, (POOL_VARIABLE, VISIBLE_VARIABLE)) if list_ is not None), None
    )
    gpus = [Gpu(name, _key(name, found)) for name in (found if names is None else names)]
    return list({gpu.key: gpu for gpu in gpus}.values())


def installed_gpus() -> list[tuple[str, str]]:
    """Model and memory of every GPU of the machine, whoever may use it."""
    return _query("--query-gpu=name,memory.total")


def _key(name: str, found: dict[str, str]) -> str:
    if name in found:
        return found[name]
    matching = [uuid for uuid in found.values() if uuid.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if found and (name.isdecimal() or name.startswith("GPU-")):
        raise UserError(
            f"{POOL_VARIABLE} or {VISIBLE_VARIABLE} names GPU {name}, but nvidia-smi lists "
            f"{', '.join(f'{index} ({uuid})' for index, uuid in found.items())}"
        )
    return os.environ.get(JOB_VARIABLE, "") + name  # the same index may be another GPU in another SLURM job


def busy_gpus() -> dict[str, str]:
    """By UUID, what computes there now, in words."""
    return {
        uuid: f"is used by process {pid} (user {_user(pid)}), which is no job of this workflow"
        for uuid, pid in _query("--query-compute-apps=gpu_uuid,pid")
    }


def _user(pid: str) -> str:
    try:
        return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name
    except (OSError, KeyError):  # in another container, or a user without a name
        return "unknown"


def _query(what: str) -> list[tuple[str, str]]:
    """Pairs of values from nvidia-smi; nothing without it, or without a driver."""
    command = ["nvidia-smi", what, "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        return []
    except subprocess.TimeoutExpired as error:
        raise UserError(f"`{' '.join(command)}` does not answer; see to the driver of the GPUs") from error
    if answer.returncode:
        logger.warning("`%s` failed: %s", " ".join(command), (answer.stdout + answer.stderr).strip())
        return []
    lines = (line.split(",") for line in answer.stdout.splitlines() if line.count(",") == 1)
    return [(first.strip(), second.strip()) for first, second in lines]
