"""The few system calls that Python has no name for, through the C library. Linux only."""

import ctypes
import functools
import os
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL, CAP_SETGID, CAP_SETUID = 1, 3, 5, 6, 7
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63


@functools.cache
def libc() -> ctypes.CDLL:
    """Return the C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def checked(name: str, *arguments: Any) -> int:
    """Call a function of the C library; OSError if it returns -1."""
    result = getattr(libc(), name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0) -> None:
    """Set a property of the process."""
    checked("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def syscall(number: int, *arguments: Any) -> int:
    """Make a system call by number; OSError if it fails."""
    return checked("syscall", ctypes.c_long(number), *arguments)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def keep_capabilities(kept: frozenset[int]) -> None:
    """Give up all capabilities but these; what the process lacks already is no error."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    held = (_CapabilityData * 2)()
    checked("capget", ctypes.byref(header), held)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in kept:
            try:
                prctl(PR_CAPBSET_DROP, capability)
            except OSError:  # beyond the kernel's last one, or not ours to drop
                continue
    mask = sum(1 << capability for capability in kept)
    for index, word in enumerate(held):
        allowed = word.permitted & (mask >> (32 * index)) & 0xFFFFFFFF
        word.effective = word.permitted = allowed
        word.inheritable = 0
    checked("capset", ctypes.byref(header), held)
