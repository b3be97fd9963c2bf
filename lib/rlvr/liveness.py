"""Which processes of this machine run."""

import os
from dataclasses import dataclass
from pathlib import Path

SHELLS = {"bash", "sh", "dash"}


@dataclass(frozen=True)
class _Stat:
    name: str
    state: str
    parent: int


def _stat(pid: int) -> _Stat | None:
    """What the kernel says of a process; None if there is none, or on a system without /proc."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    state, parent = after.split()[:2]
    return _Stat(before.partition("(")[2], state, int(parent))


def process_runs(pid: int) -> bool:
    """Whether a process with this id runs; a zombie, which has ended, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    stat = _stat(pid)
    return stat is None or stat.state not in ("Z", "X")


def starting_process() -> int:
    """Id of the process that started this one, be it through a shell, which would outlive it."""
    pid = os.getppid()
    while (stat := _stat(pid)) is not None and stat.name in SHELLS and stat.parent > 1:
        pid = stat.parent
    return pid
