"""Users of their own for worker slots: numbers that nobody has, each held by one slot of this machine."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

# Left free by the usual allocations (https://systemd.io/UIDS-GIDS); the second is for containers with
# 65,536 ids.
_RANGES = (range(1_900_000_000, 1_900_004_096), range(60_600, 61_100))


class HeldUid:
    """A user id that no other slot has until `release`, by a lock that ends with this process."""

    def __init__(self) -> None:
        folder = _lock_folder()
        candidates = next((ids for ids in _RANGES if _mapped(ids)), None)
        if candidates is None:
            raise PermissionError("no free range of user ids in this container")
        # Containers on one kernel share users, but seldom process ids.
        start = os.getpid() * 16 % len(candidates)
        for offset in range(len(candidates)):
            self.uid = candidates[(start + offset) % len(candidates)]
            if self._lock(folder / str(self.uid)):
                return
        raise PermissionError("all user ids for worker slots are taken")

    def _lock(self, path: Path) -> bool:
        self._file: IO[bytes] = path.open("wb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            return False
        return True

    def release(self) -> None:
        """Give the user id back."""
        self._file.close()


def _lock_folder() -> Path:
    parent = Path("/run")
    folder = (parent if os.access(parent, os.W_OK) else Path(tempfile.gettempdir())) / "rlvr-sandbox-uids"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not ours")
    return folder


def _mapped(ids: range) -> bool:
    """Whether all these user ids exist in this user namespace."""
    rows = [
        [int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()
    ]
    return any(first <= ids[0] and ids[-1] < first + count for first, _, count in rows)
