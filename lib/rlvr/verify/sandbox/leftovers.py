"""Ending all that a program started, and emptying its folder."""

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from typing import Any


def killer(own_processes: bool, uid: int) -> Callable[[int], None]:
    """Return the function that kills a child and all that it started.

    `own_processes`: the server is the first process of its own PID namespace. `uid`: the program's own user;
    0 if it shares the server's.
    """

    def kill(pid: int) -> None:
        if own_processes:
            _send(os.kill, -1)
            return
        _send(os.killpg, pid)
        _send(os.kill, pid)
        for orphan in _children():
            _send(os.kill, orphan)
        if uid:
            _kill_all_of(uid)

    return kill


def _send(kill: Callable[[int, int], None], target: int) -> None:
    try:
        kill(target, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it has ended already, or is no process group


def _children() -> Iterator[int]:
    """Process ids of this process's children, from /proc where there is one."""
    if not os.path.isdir("/proc/self"):
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid():
            yield int(name)


def _kill_all_of(uid: int) -> None:
    """Kill every process of a user: a child becomes that user, who may signal all its own and no other's."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            _send(os.kill, -1)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def empty_folder(folder: str) -> None:
    """Remove all in a folder, however deep, without following links or recursing."""
    os.chmod(folder, 0o700)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        serial = 0
        while names := os.listdir(top):
            for name in names:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                serial = _lift(top, name, serial)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _lift(top: int, name: str, serial: int) -> int:
    """Move what is in a folder up to the top, under new names; return the last number used."""
    _open_up(name, top)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for child in os.listdir(inner):
            serial += 1
            _open_up(child, inner)
            os.rename(child, f".lifted-{serial}-{os.getpid()}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    return serial


def _open_up(name: str, parent: int) -> None:
    """Let the server into a folder, whatever mode the program gave it."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)


def remove_folder(setup: dict[str, Any]) -> None:
    """Remove the server's own folder, and the one that the caller made for it; either may be gone."""
    if setup["outside"]:
        for path in (setup["folder"], setup["outside"]):
            with contextlib.suppress(OSError):
                os.rmdir(path)
