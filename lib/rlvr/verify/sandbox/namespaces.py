"""The namespaces rung: own processes, mounts, network and IPC, and a file system of a few read-only paths."""

import ctypes
import os
import signal
from typing import Any

from rlvr.verify.sandbox.kernel import PR_SET_PDEATHSIG, checked, prctl, syscall

_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_USERS = 0x00020000, 0x04000000, 0x08000000, 0x10000000
_NEW_PROCESSES, _NEW_NETWORK = 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 1, 2, 4, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_MNT_DETACH = 2
_MOUNT_POINT = "/proc"  # always there, and nothing that is needed lies below
_MOUNT_SETATTR = 442  # Linux 5.12; the same number on every architecture
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID = 1, 2


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "users"))


def enter(setup: dict[str, Any]) -> None:
    """Continue as the first process of new namespaces; the process that called waits outside and follows."""
    spaces = _NEW_MOUNTS | _NEW_UTS | _NEW_IPC | _NEW_PROCESSES | _NEW_NETWORK
    user, group = os.geteuid(), os.getegid()
    checked("unshare", spaces | (_NEW_USERS if setup["own_user_namespace"] else 0))
    if setup["own_user_namespace"]:
        _write("setgroups", "deny")
        _write("uid_map", f"{user} {user} 1")
        _write("gid_map", f"{group} {group} 1")
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    pid = os.fork()
    if pid:
        _follow(pid)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _build_root(setup)


def _write(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(text)


def _follow(pid: int) -> None:
    os.closerange(3, 1 << 16)  # the control socket too: its end must be seen by the server alone
    _, status = os.waitpid(pid, 0)
    os._exit(abs(os.waitstatus_to_exitcode(status)) & 0xFF)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [value.encode() if value is not None else None for value in (source, target, kind)]
    data = options.encode() if options else None
    checked("mount", *encoded, ctypes.c_ulong(flags), data)


def _build_root(setup: dict[str, Any]) -> None:
    """Make a root of the readable paths and a temporary folder, and leave the old one for good."""
    root = _MOUNT_POINT
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    for path in [*setup["readable"], *setup["devices"]]:
        if os.path.exists(path):
            _bind(path, root + path)
    folder = root + setup["folder"]
    os.makedirs(folder, exist_ok=True)
    size = f"size={setup['folder_mb']}m,nr_inodes=10k,mode=700"
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, size)
    _mount("none", root, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chdir(root)
    syscall(_PIVOT_ROOT[os.uname().machine], b".", b".")
    checked("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb"):
            pass
    _mount(source, target, None, _MS_BIND | _MS_REC)
    attributes = _MountAttributes(_ATTR_NOSUID | _ATTR_RDONLY, 0, 0, 0)
    arguments = (ctypes.c_uint(_AT_RECURSIVE), ctypes.byref(attributes), ctypes.c_size_t(32))
    syscall(_MOUNT_SETATTR, ctypes.c_int(_AT_FDCWD), target.encode(), *arguments)
