"""Claims on a folder: files beside it that say which process works there, and that it still lives.

A claim has a number; the highest one counts, and a new one is made only if the one before is given up or
dead. Creating a file that must not exist yet is atomic on network file systems too, where locks may not be.
"""

import json
import os
import re
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """A process that works on a folder. `machine` is one boot of one kernel, whatever its name;
    `job` is its SLURM job, or empty.
    """

    host: str
    machine: str
    pid: int
    job: str
    since: str
    token: str

    @classmethod
    def this_process(cls) -> Self:
        """A new owner: two of one process are two."""
        return cls(
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            job=os.environ.get("SLURM_JOB_ID", ""),
            since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
            token=uuid.uuid4().hex,
        )

    def __str__(self) -> str:
        process = f"process {self.pid} on {self.host}"
        return f"SLURM job {self.job} ({process})" if self.job else process

    @property
    def how_to_end(self) -> str:
        """A command for a person."""
        return f"`scancel {self.job}`" if self.job else f"`kill {self.pid}` on {self.host}"


@dataclass(frozen=True)
class Claim:
    """A claim as it was read; `owner` is None while its file is still being written."""

    path: Path
    number: int
    owner: Owner | None

    def heartbeat(self) -> float:
        """When its owner last gave a sign of life, by the clock of the file system."""
        with self.path.open() as file:  # opening asks a network file system for the time as it is now
            return os.fstat(file.fileno()).st_mtime

    def silence(self) -> float:
        """Seconds since the last sign of life, both times by the clock of the file system."""
        probe = self.path.with_name(f".{uuid.uuid4().hex}.probe")
        probe.touch()
        try:
            return probe.stat().st_mtime - self.heartbeat()
        finally:
            probe.unlink()


@cache
def this_machine() -> str:
    """Name of this boot of this kernel; the host's name where the kernel gives none."""
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else socket.gethostname()


def _numbers(folder: Path) -> list[int]:
    name = re.compile(rf"\.{re.escape(folder.name)}\.owner(\d+)")
    return sorted(int(found[1]) for file in folder.parent.iterdir() if (found := name.fullmatch(file.name)))


def _path(folder: Path, number: int) -> Path:
    return folder.with_name(f".{folder.name}.owner{number:06d}")


def newest_claim(folder: Path) -> Claim | None:
    """The claim that counts, if there is one."""
    numbers = _numbers(folder)
    if not numbers:
        return None
    path = _path(folder, numbers[-1])
    try:
        return Claim(path, numbers[-1], Owner(**json.loads(path.read_text())))
    except FileNotFoundError:  # given up in between
        return newest_claim(folder)
    except ValueError:
        return Claim(path, numbers[-1], None)


def make_claim(folder: Path, number: int, owner: Owner) -> Claim | None:
    """Claim the folder; None if somebody was faster. Claims with lower numbers are removed."""
    claim = Claim(_path(folder, number), number, owner)
    try:
        file = claim.path.open("x")
    except FileExistsError:
        return None
    try:
        with file:
            json.dump(asdict(owner), file)
    except OSError:
        claim.path.unlink()
        raise
    *older, newest = _numbers(folder)
    if newest != number:
        claim.path.unlink(missing_ok=True)
        return None
    for other in older:
        _path(folder, other).unlink(missing_ok=True)
    return claim
