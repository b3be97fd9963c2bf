"""A seccomp filter: a process gives up, for good, system calls that reach beyond it. x86-64 and arm64 Linux.

Refused calls fail with EPERM, so that an honest program sees a PermissionError and goes on. Calls newer than
the table fail with ENOSYS, as on an older kernel.
Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import platform
import struct

from rlvr.verify.sandbox.kernel import (
    PR_CAP_AMBIENT,
    PR_CAPBSET_DROP,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    PR_SET_SECCOMP,
    checked,
)

# Name, number on x86-64, number on arm64 (- where there is none); /usr/include/asm*/unistd*.h.
_REFUSED = """
fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, ptrace 101 117, process_vm_readv 310 270,
process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448, pidfd_open 434 434,
pidfd_getfd 438 438, pidfd_send_signal 424 424, kcmp 312 272, setsid 112 157, setpgid 109 154,
socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, move_mount 429 429, open_tree 428 428,
fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433, mount_setattr 442 442, unshare 272 97,
setns 308 268, add_key 248 217, request_key 249 218, keyctl 250 219, bpf 321 280, perf_event_open 298 241,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, userfaultfd 323 282,
memfd_create 319 279, memfd_secret 447 447, shmget 29 194, shmat 30 196, shmctl 31 195, semget 64 190,
semctl 66 191, semop 65 193, semtimedop 220 192, msgget 68 186, msgctl 71 187, msgsnd 69 189, msgrcv 70 188,
mq_open 240 180, mq_unlink 241 181, open_by_handle_at 304 265, name_to_handle_at 303 264, init_module 175 105,
finit_module 313 273, delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, reboot 169 142,
swapon 167 224, swapoff 168 225, syslog 103 116, acct 163 89, quotactl 179 60, quotactl_fd 443 443,
settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266, adjtimex 159 171, sethostname 170 161,
setdomainname 171 162, iopl 172 -, ioperm 173 -, vhangup 153 58, personality 135 92, modify_ldt 154 -,
fanotify_init 300 262, setuid 105 146, setgid 106 144, setreuid 113 145, setregid 114 143, setresuid 117 147,
setresgid 119 149, setgroups 116 159, setfsuid 122 151, setfsgid 123 152, capset 126 91, seccomp 317 277,
setpriority 141 140, ioprio_set 251 30, sched_setscheduler 144 119, sched_setattr 314 274,
sched_setparam 142 118, migrate_pages 256 238, move_pages 279 239, mknod 133 -, mknodat 259 33, uselib 134 -,
lookup_dcookie 212 18
"""
# What changes a file's mode, owner, times or attributes: Landlock lets it through.
_METADATA = """
chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54,
utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88, setxattr 188 5, lsetxattr 189 6,
fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16
"""
_NEWEST = 451  # cachestat, Linux 6.5: the newest call that the table was checked against
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
# Calls whose arguments decide: numbers on x86-64 and arm64; for signals, which argument is the signal.
_SIGNALS = (
    (62, 129, 1),
    (200, 130, 1),
    (234, 131, 2),
    (129, 138, 1),
    (297, 240, 2),
)  # kill tkill tgkill *queueinfo
_CLONE, _CLONE3, _PRCTL, _FCNTL, _IOCTL = (56, 220), (435, 435), (157, 167), (72, 25), (16, 29)
_CHMOD = ((90, -1, 1), (91, 52, 1), (268, 53, 2))  # chmod fchmod fchmodat, and which argument is the mode

_CLONE_THREAD, _SETUID_SETGID = 0x00010000, 0o6000
_SIGKILL = 9
_F_SETOWN, _F_SETOWN_EX, _TIOCSTI, _TIOCLINUX = 8, 15, 0x5412, 0x541C
_PR_SET_MM, _PR_SET_PTRACER = 35, 0x59616D61
_PRCTL_REFUSED = (
    *(PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER),
    *(PR_CAP_AMBIENT, _PR_SET_MM, _PR_SET_PTRACER),
)

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_MODE_FILTER = 2


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _on_call(number: int, body: list[bytes]) -> list[bytes]:
    """Run `body`, which must end with a return, if the call is `number`; skip it otherwise."""
    return [_instruction(_JUMP_EQUAL, number, 0, len(body)), *body] if number >= 0 else []


def _argument(position: int) -> bytes:
    """Load the low word of an argument (little-endian)."""
    return _instruction(_LOAD, _FIRST_ARGUMENT_AT + 8 * position)


def _to_itself(pid: int, position: int) -> list[bytes]:
    """Allow signals to this process; but SIGKILL, which would look as if the kernel had run out of memory."""
    allowed, refused = _instruction(_RETURN, _ALLOW), _instruction(_RETURN, _EPERM)
    start = [_argument(0), _instruction(_JUMP_EQUAL, pid, 1, 0), refused]
    return [*start, _argument(position), _instruction(_JUMP_EQUAL, _SIGKILL, 1, 0), allowed, refused]


def _if_any(position: int, values: tuple[int, ...]) -> list[bytes]:
    tests = [_instruction(_JUMP_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    return [_argument(position), *tests, _instruction(_RETURN, _ALLOW), _instruction(_RETURN, _EPERM)]


def _by_bits(position: int, mask: int, if_set: int, if_clear: int) -> list[bytes]:
    returns = [_instruction(_RETURN, if_clear), _instruction(_RETURN, if_set)]
    return [_argument(position), _instruction(_JUMP_ANY_BIT, mask, 1, 0), *returns]


def supported() -> bool:
    """Whether the table knows this machine's calls."""
    return os.uname().sysname == "Linux" and platform.machine() in _ARCHITECTURES


def make_filter(refuse_metadata: bool) -> tuple[bytes, bytes]:
    """Return the filter's program in two parts; what depends on the process's own id comes between them.

    `refuse_metadata`: refuse to change modes, owners, times and attributes of files; needed where files
    outside the program's folder are in sight and not mounted read-only.
    """
    column, architecture = _ARCHITECTURES[platform.machine()]
    ours = _instruction(_JUMP_EQUAL, architecture, 1, 0)
    start = [_instruction(_LOAD, _ARCHITECTURE_AT), ours, _instruction(_RETURN, _KILL_PROCESS)]
    start.append(_instruction(_LOAD, _NUMBER_AT))
    known = [_instruction(_JUMP_AT_LEAST, _NEWEST + 1, 0, 1), _instruction(_RETURN, _ENOSYS)]
    rest = _on_call(_CLONE3[column], [_instruction(_RETURN, _ENOSYS)])  # the C library then uses clone
    rest += _on_call(_CLONE[column], _by_bits(0, _CLONE_THREAD, _ALLOW, _EPERM))
    rest += _on_call(_PRCTL[column], _if_any(0, _PRCTL_REFUSED))
    rest += _on_call(_FCNTL[column], _if_any(1, (_F_SETOWN, _F_SETOWN_EX)))
    rest += _on_call(_IOCTL[column], _if_any(1, (_TIOCSTI, _TIOCLINUX)))
    for *numbers, position in () if refuse_metadata else _CHMOD:
        rest += _on_call(numbers[column], _by_bits(position, _SETUID_SETGID, _EPERM, _ALLOW))
    for entry in (_REFUSED + ("," + _METADATA if refuse_metadata else "")).split(","):
        number = entry.split()[1 + column]
        if number != "-":
            rest += _on_call(int(number), [_instruction(_RETURN, _EPERM)])
    rest.append(_instruction(_RETURN, _ALLOW))
    return b"".join(start + known), b"".join(rest)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(parts: tuple[bytes, bytes]) -> None:
    """Put the filter on this process and its future threads; signals to itself stay allowed.

    Needs no_new_privs, and no other thread yet.
    """
    column, _ = _ARCHITECTURES[platform.machine()]
    own: list[bytes] = []
    for *numbers, position in _SIGNALS:
        own += _on_call(numbers[column], _to_itself(os.getpid(), position))
    code = b"".join([parts[0], *own, parts[1]])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    arguments = (ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0))
    checked("prctl", PR_SET_SECCOMP, *arguments)
