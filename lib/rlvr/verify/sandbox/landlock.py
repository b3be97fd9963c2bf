"""Landlock: a process gives up, for good, all files but those named. Linux 5.13 or newer.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import stat
from collections.abc import Sequence

from rlvr.verify.sandbox.kernel import syscall

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = (1 << bit for bit in (1, 2, 3, 14, 15))
_OF_FILES = 1 | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_MAKE_FIFO_SOCKET_DEVICE = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11
_ALL_BY_VERSION = ((5, (1 << 16) - 1), (3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))
_NO_TCP, _NO_ABSTRACT_SOCKETS_NOR_SIGNALS = 0b11, 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Landlock's ABI version in this kernel; 0 if it has none or it is switched off."""
    try:
        return syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    except (OSError, AttributeError):
        return 0


def make_ruleset(readable: Sequence[str], writable: Sequence[str]) -> int:
    """Return the descriptor of rules: these paths and all beneath may be read, or read and written.

    Nothing may be executed; TCP, foreign abstract sockets and signals to processes outside are refused where
    the kernel can (versions 4 and 6). Paths that do not exist are left out.
    """
    abi = version()
    handled = next(rights for since, rights in _ALL_BY_VERSION if abi >= since)
    attributes = _Ruleset(handled, _NO_TCP, _NO_ABSTRACT_SOCKETS_NOR_SIGNALS)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    arguments = (ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))
    ruleset = syscall(_CREATE_RULESET, *arguments)
    written = handled & ~(1 | _MAKE_FIFO_SOCKET_DEVICE)
    for paths, allowed in ((readable, _READ_FILE | _READ_DIR), (writable, written)):
        for path in paths:
            if os.path.exists(path):
                _allow(ruleset, path, allowed)
    return ruleset


def _allow(ruleset: int, path: str, allowed: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            allowed &= _OF_FILES
        rule = _PathBeneath(allowed, parent)
        syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), 0)
    finally:
        os.close(parent)


def restrict_self(ruleset: int) -> None:
    """Bind this process, and all that it starts, to the rules; needs no_new_privs."""
    syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
