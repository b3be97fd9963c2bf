"""The layers that a process puts on itself before it runs a program: none can be taken off again."""

import fcntl
import os
import resource
import sys
from dataclasses import dataclass
from typing import Any

from rlvr.verify.sandbox.kernel import (
    CAP_DAC_OVERRIDE,
    CAP_FOWNER,
    CAP_KILL,
    CAP_SETGID,
    CAP_SETUID,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    keep_capabilities,
    prctl,
)
from rlvr.verify.sandbox.landlock import make_ruleset, restrict_self, version
from rlvr.verify.sandbox.seccomp import install, make_filter, supported

LINUX = sys.platform == "linux"
_SIGKILL = 9
_ABOVE_STANDARD = 10  # descriptors below are given out anew in each child


@dataclass(frozen=True)
class Confinement:
    """Layers prepared once by the server, to be put on each of its children. `uid` 0 keeps the user."""

    folder: str
    uid: int
    ruleset: int
    filter: tuple[bytes, bytes] | tuple[()]
    counts_processes: bool

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that are in force, beside those of the rung."""
        held = {"landlock": self.ruleset >= 0, "seccomp": bool(self.filter), "own uid": self.uid > 0}
        return (*(name for name, is_held in held.items() if is_held), "rlimits")


def prepare(setup: dict[str, Any]) -> Confinement:
    """Make ready what this kernel offers of the layers that the rung allows."""
    ruleset = -1
    if setup["landlock"] and LINUX and version() > 0:
        made = make_ruleset([*setup["readable"], *setup["devices"]], [setup["folder"], "/dev/null"])
        ruleset = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
        os.close(made)
    return Confinement(
        folder=setup["folder"],
        uid=setup["uid"],
        ruleset=ruleset,
        filter=make_filter(setup["refuse_metadata"]) if supported() else (),
        counts_processes=setup["uid"] > 0 or setup["own_user_namespace"],
    )


def protect_server(setup: dict[str, Any]) -> None:
    """Put the server itself out of reach of its programs, and take from it what it does not need."""
    os.chmod(setup["folder"], 0o700)
    if setup["uid"]:
        os.chown(setup["folder"], setup["uid"], setup["uid"])
    if not LINUX:
        return
    kept = {CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL, CAP_SETGID, CAP_SETUID} if setup["uid"] else set()
    keep_capabilities(frozenset(kept))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of a program become the server's, which ends them


def confine(layers: Confinement, limits: dict[str, int], time_limit_s: float) -> None:
    """Bind this process for good; its descriptors are in place already."""
    os.chdir(layers.folder)
    _limit_resources(limits, time_limit_s, layers.counts_processes)
    if layers.uid:
        os.setgroups([])
        os.setresgid(layers.uid, layers.uid, layers.uid)
        os.setresuid(layers.uid, layers.uid, layers.uid)
    os.umask(0o077)
    if LINUX:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        keep_capabilities(frozenset())
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_PDEATHSIG, _SIGKILL)  # after the change of user, which clears it
    if layers.ruleset >= 0:
        restrict_self(layers.ruleset)
        os.close(layers.ruleset)
    if layers.filter:
        install(layers.filter)


def _limit_resources(limits: dict[str, int], time_limit_s: float, counts_processes: bool) -> None:
    cpu_s = int(time_limit_s) + 2
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: limits["file_mb"] << 20,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_AS: limits["memory_mb"] << 20,
    }
    if counts_processes:  # else the limit would count all of the user's processes
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    if LINUX:
        wanted |= {resource.RLIMIT_MEMLOCK: 0, resource.RLIMIT_MSGQUEUE: 0}
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
