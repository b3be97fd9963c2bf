"""GPUs of a machine, lent to its jobs: no two jobs on one, whoever started them.

A lease is a lock on a file of the device, which the kernel releases when the job ends, however it ends. It is
taken before CUDA starts and shown to CUDA by CUDA_VISIBLE_DEVICES. Of what a scheduler has given, jobs that
share the allocation lease their part in the same way.
"""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rlvr.errors import UserError
from rlvr.gpus import (
    JOB_VARIABLE,
    STEP_VARIABLE,
    VISIBLE_VARIABLE,
    Gpu,
    busy_gpus,
    given_without_names,
    job_gpus,
    withheld_by_scheduler,
)

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "RLVR_GPU_LOCKS"
# Not the temporary folder of a session or a job: every job on the machine must look at the same place.
FOLDER = "/tmp/rlvr-gpus"
POLL_SECONDS = 2.0
SAY_AGAIN_SECONDS = 600.0


@dataclass
class Lease:
    """GPUs that this process holds until `release`, the end of a `with` block, or its own end."""

    gpus: tuple[Gpu, ...] = ()
    descriptors: list[int] = field(default_factory=list)
    environment: Mapping[str, str | None] = field(default_factory=dict)

    def release(self) -> None:
        """Give the GPUs back, and put the environment back as it was."""
        for name, value in self.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.gpus, self.descriptors, self.environment = (), [], {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease_gpus(count: int, job: str = "") -> Lease:
    """Take `count` GPUs for this process, waiting while too few are free; CUDA sees only these from then on.

    `job` is what others are told who wait for them, the path of its log for example. 0 leaves everything as
    it is. UserError if the machine has too few, or the scheduler gave none; RuntimeError if CUDA has started.
    """
    if count == 0:
        return Lease()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise RuntimeError("GPUs must be leased before CUDA starts")
    if withheld := withheld_by_scheduler():
        raise UserError(
            f"this job asks for {count} GPUs, but the scheduler gave SLURM job {os.environ[JOB_VARIABLE]} "
            f"none ({withheld}): ask it for them (--gpus={count}, as profiles/slurm does), or set gpu: 0 in "
            "the config's resources"
        )
    if given_without_names():
        logger.info("GPUs given by the scheduler: %s", os.environ[STEP_VARIABLE])
        return Lease()
    gpus = job_gpus()
    if len(gpus) < count:
        raise UserError(
            f"this job asks for {count} GPUs, but there are {len(gpus)} for it "
            f"({', '.join(gpu.name for gpu in gpus) or 'none'}; as nvidia-smi, CUDA_VISIBLE_DEVICES and "
            "RLVR_GPUS say): lower gpu in the config's resources, or run it on a larger machine"
        )
    return _wait_for(count, gpus, job)


def _wait_for(count: int, gpus: list[Gpu], job: str) -> Lease:
    folder = _folder()
    said, said_at = "", -SAY_AGAIN_SECONDS
    while True:
        held, why_not = _try_all(count, gpus, folder, job)
        if held:
            return _shown_to_cuda(held)
        text = "; ".join(f"{gpu} {reason}" for gpu, reason in why_not.items())
        if text != said or time.monotonic() - said_at > SAY_AGAIN_SECONDS:
            logger.info("waiting for %d free GPUs of %d: %s", count, len(gpus), text)
            said, said_at = text, time.monotonic()
        time.sleep(POLL_SECONDS)


def _try_all(count: int, gpus: list[Gpu], folder: Path, job: str) -> tuple[dict[Gpu, int], dict[str, str]]:
    """Locks on `count` GPUs that are free, or on none, and why the others are not free, by name.

    One job at a time looks, so that two jobs that want several do not each keep what the other lacks.
    """
    held: dict[Gpu, int] = {}
    why_not: dict[str, str] = {}
    looking = _open(folder / "looking")
    try:
        fcntl.flock(looking, fcntl.LOCK_EX)
        busy: dict[str, str] | None = None
        for gpu in gpus:
            descriptor = _open(folder / gpu.lock_name)
            holder = _lock(descriptor)
            if holder is None:
                busy = busy_gpus() if busy is None else busy
                holder = busy.get(gpu.key)
            if holder is not None:
                os.close(descriptor)
                why_not[gpu.name] = holder
                continue
            held[gpu] = descriptor
            if len(held) == count:
                for descriptor in held.values():
                    _sign(descriptor, job)
                return held, why_not
        for descriptor in held.values():
            os.close(descriptor)
        return {}, why_not
    finally:
        os.close(looking)


def _folder() -> Path:
    """The folder of the locks, open to all users of the machine."""
    folder = Path(os.environ.get(FOLDER_VARIABLE, FOLDER))
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    except FileExistsError:
        pass
    return folder


def _open(path: Path) -> int:
    """A file that every user can lock; another user's without O_CREAT, which kernels refuse there."""
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return os.open(path, os.O_RDWR)
    os.fchmod(descriptor, 0o666)
    return descriptor


def _lock(descriptor: int) -> str | None:
    """Lock the file; who holds it, in words, if another process does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"is held by {os.pread(descriptor, 4096, 0).decode(errors='replace') or 'a process'}"
    return None


def _sign(descriptor: int, job: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} ({job})".encode(), 0)


def _shown_to_cuda(held: Mapping[Gpu, int]) -> Lease:
    names = [gpu.name for gpu in held]
    # By default CUDA counts the fastest first; nvidia-smi counts by bus.
    shown = {VISIBLE_VARIABLE: ",".join(names), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    before = {name: os.environ.get(name) for name in shown}
    os.environ.update(shown)
    logger.info("leased GPU %s", ", ".join(names))
    return Lease(tuple(held), list(held.values()), before)
