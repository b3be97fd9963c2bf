"""Running untrusted programs: jailed worker processes that are called over a socket."""

from rlvr.verify.sandbox.client import Sandbox
from rlvr.verify.sandbox.limits import Limits
from rlvr.verify.sandbox.peer import ProgramFailure, RemoteException, RemoteObject
from rlvr.verify.sandbox.rungs import Isolation, Rung, isolation, probe_rungs
from rlvr.verify.sandbox.session import Session

__all__ = [
    "Isolation",
    "Limits",
    "ProgramFailure",
    "RemoteException",
    "RemoteObject",
    "Rung",
    "Sandbox",
    "Session",
    "isolation",
    "probe_rungs",
]
