"""Which rungs of the ladder work on this machine: found by trying to break out of each."""

import functools
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlvr.errors import UserError
from rlvr.verify.sandbox.helper import HelperDiedError, StartError
from rlvr.verify.sandbox.jail import LADDER, STRONG, Jail, RungName, Slot, jails
from rlvr.verify.sandbox.limits import Limits
from rlvr.verify.sandbox.peer import ProgramFailure, RemoteException
from rlvr.verify.sandbox.session import Session

_log = logging.getLogger(__name__)

_PROBE_LIMIT_S = 20.0
_PROBE = """
import os, socket

def attempt(act):
    try:
        return act()
    except OSError:
        return None

def connect(port):
    with socket.socket() as link:
        link.settimeout(2)
        link.connect(("127.0.0.1", port))
    return True

def write(path):
    with open(path, "a") as file:
        file.write("written")
    return True

def break_out(canary, port, pid):
    import json  # from a file: the standard library must be in reach
    read = attempt(lambda: open(canary).read())
    attempt(lambda: write(canary))
    signalled = attempt(lambda: os.kill(pid, 0) or True)
    return read, attempt(lambda: connect(port)), signalled, attempt(lambda: write("own"))
"""
# What a weaker rung is known to let through.
_TOLERATED = {
    "uid": {"reads outside", "connects"},
    "rlimits": {"writes outside", "reads outside", "connects", "signals others"},
}
REMEDY = (
    "Install bubblewrap (package `bubblewrap`), or allow user namespaces "
    "(`sysctl kernel.unprivileged_userns_clone=1`, `sysctl kernel.apparmor_restrict_unprivileged_userns=0`), "
    "or use Linux 5.13 or newer with Landlock enabled; or set `require_isolation: any`"
)


@dataclass(frozen=True)
class Rung:
    """A rung that works here. `layers`: what each program is bound by beside the rung itself."""

    name: RungName
    strong: bool
    own_uid: bool
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Isolation:
    """How programs are isolated here, for provenance; `reason` says why not by a stronger rung."""

    rung: RungName
    strong: bool
    layers: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class _Trial:
    jail: Jail
    layers: tuple[str, ...]
    reason: str  # why it does not work; empty if it does


@functools.cache
def _try(jail: Jail) -> _Trial:
    """Start a jail and try to break out of it; once per process."""
    try:
        slot = Slot(jail, Limits())
    except StartError as error:
        return _Trial(jail, (), str(error))
    try:
        missing = {"landlock", "seccomp"} - set(slot.layers) if jail.rung == "landlock" else set()
        if missing:
            return _Trial(jail, slot.layers, f"this kernel offers no {' and no '.join(sorted(missing))}")
        broken = set(_break_out(slot)) - _TOLERATED.get(jail.rung, set())
        return _Trial(jail, slot.layers, f"a program there {', '.join(sorted(broken))}" if broken else "")
    except (HelperDiedError, ProgramFailure, RemoteException) as error:
        return _Trial(jail, slot.layers, str(error))
    finally:
        slot.stop()


def _break_out(slot: Slot) -> list[str]:
    """Return what a program in the slot can do that it must not, and cannot do that it must."""
    secret = secrets.token_hex()
    with (
        tempfile.NamedTemporaryFile("w+", prefix="rlvr-canary-") as canary,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        os.chmod(canary.name, 0o644)
        canary.write(secret)
        canary.flush()
        session = Session(slot, Limits(), _PROBE_LIMIT_S)
        try:
            session.load(_PROBE)
            port = server.getsockname()[1]
            read, connected, signalled, wrote_own = session.call("break_out", canary.name, port, os.getpid())
        finally:
            session.end()
        canary.seek(0)
        found = {
            "reads outside": read == secret,
            "writes outside": canary.read() != secret,
            "connects": connected,
            "signals others": signalled,
            "cannot write its own folder": not wrote_own,
        }
    return [name for name, is_so in found.items() if is_so]


def _trials(name: RungName) -> Iterator[_Trial]:
    """Try the forms of a rung, up to the first that works."""
    for jail in jails(name):
        trial = _try(jail)
        yield trial
        if not trial.reason:
            return


def probe_rungs() -> list[Rung]:
    """Return the rungs that work here, strongest first. Found once per process, by trying."""
    working = [trial for name in LADDER for trial in _trials(name) if not trial.reason]
    return [_rung(trial) for trial in working]


def _rung(trial: _Trial) -> Rung:
    return Rung(trial.jail.rung, trial.jail.rung in STRONG, trial.jail.own_uid, trial.layers)


def _best() -> tuple[_Trial, str]:
    """Return the strongest jail that works here, and why the stronger ones do not."""
    reasons: list[str] = []
    for name in LADDER:
        for trial in _trials(name):
            if not trial.reason:
                return trial, "; ".join(reasons)
            reasons.append(f"{name}: {trial.reason}")
    raise UserError(f"Untrusted programs cannot be run on {sys.platform}: {'; '.join(reasons)}")


def isolation() -> Isolation:
    """Return how a sandbox isolates programs on this machine."""
    trial, reason = _best()
    return Isolation(trial.jail.rung, trial.jail.rung in STRONG, trial.layers, reason)


def choose(
    require_isolation: Literal["any", "strong"] = "any", forced: RungName | Jail | None = None
) -> Jail:
    """Return the jail to use: `forced`, or the strongest that works here.

    UserError if none works, or only a weak one and `require_isolation` is "strong". A weak one is logged,
    once.
    """
    if isinstance(forced, Jail):
        trial, reason = _try(forced), ""
    elif forced:
        *_, trial = _trials(forced)
        reason = "the rung was forced"
    else:
        trial, reason = _best()
    if trial.reason:
        raise UserError(f"The sandbox `{trial.jail.rung}` does not work here: {trial.reason}")
    if trial.jail.rung not in STRONG:
        weak = f"Only weak isolation for untrusted programs (`{trial.jail.rung}`) works here"
        missing = f"{weak}: {reason}. {REMEDY}."
        if require_isolation == "strong":
            raise UserError(missing)
        _warn_once(missing)
    return trial.jail


@functools.cache
def _warn_once(text: str) -> None:
    _log.warning("%s", text)
