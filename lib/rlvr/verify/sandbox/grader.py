"""The trusted side of a case: the tests run here, against a program that is called over a socket.

A warm server without a jail forks one child per case. The tests get a stand-in for the entry point; what it
returns has been built here, of exact built-in types. The verdict is this process's, whatever the program
does.
"""

import importlib
import json
import os
import random
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from rlvr.verify.sandbox.conversation import Peer
from rlvr.verify.sandbox.forkserver import MAX_CONTROL_BYTES, Child, serve
from rlvr.verify.sandbox.peer import MAX_TEXT, RemoteException, RemoteObject, printable
from rlvr.verify.sandbox.tests_text import free_names, own_module
from rlvr.verify.sandbox.wire import Frame, Stream, receive_frame, send_frame

_DETAIL_LENGTH = 300
_TESTS = "<tests>"


def main(control_descriptor: int) -> None:
    """Serve cases until the caller has gone."""
    control = socket.socket(fileno=control_descriptor)
    sys.path[:] = receive_frame(Stream(control), MAX_CONTROL_BYTES).header["search_path"]
    send_frame(Stream(control), Frame(["grader"]), MAX_CONTROL_BYTES)
    serve(control, Child(_run, _kill, before=_warm))


def _warm(request: dict[str, Any]) -> None:
    """Import NumPy once for all cases, from the first that uses it on."""
    if "numpy" in request["tests"]:
        import numpy  # noqa: F401


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _run(request: dict[str, Any], connection: int, output: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = request["memory_mb"] << 20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory if hard < 0 else min(memory, hard), hard))
    random.seed(0)
    status, detail, lost = _grade(request, socket.socket(fileno=connection))
    words = {"status": status, "detail": printable(detail)[:_DETAIL_LENGTH], "lost": lost}
    os.write(output, json.dumps(words).encode())
    os._exit(0)


class _TestedPeer(Peer):
    """The tests' end: exceptions of the program become built-in ones, and calls of the entry point count."""

    def __init__(self, connection: socket.socket, max_bytes: int, entry_point: str) -> None:
        super().__init__(Stream(connection), max_bytes, call_back, can_export=callable)
        self.entry_point = entry_point
        self.entry: Any = None
        self.entry_uses = 0
        self.raised: list[tuple[Exception, RemoteException]] = []

    def request(self, name: str, *values: Any) -> Any:
        """As Peer's, but an exception of the program is raised as the built-in one that it stands for."""
        if values[0] is self.entry or (name == "call_global" and values[0] == self.entry_point):
            self.entry_uses += 1
        try:
            return super().request(name, *values)
        except RemoteException as error:
            self.raised.append((error.builtin(), error))
        raise self.raised[-1][0]

    def stand_in(self, name: str, kind: str) -> Any:
        """Return what stands in the tests for a global of the program."""
        if kind.startswith("module "):
            module = own_module(name, kind.removeprefix("module "))
            if module is None:
                raise NameError(f"the tests use {name}, a module that only the program imports")
            return importlib.import_module(module)
        if kind != "function":
            value = self.request("global", name)
            module = own_module(name, "") if isinstance(value, RemoteObject) else None
            return value if module is None else importlib.import_module(module)

        def stand_in(*args: Any, **kwargs: Any) -> Any:
            return self.request("call_global", name, args, kwargs)

        stand_in.__name__ = stand_in.__qualname__ = name
        return stand_in


def call_back(name: str, *values: Any) -> Any:
    """Answer a program's request: it may call the functions that were passed to it, nothing else."""
    if name != "call":
        raise PermissionError("a program can only call what it was given")
    target, args, kwargs = values
    if not callable(target) or type(args) is not tuple or type(kwargs) is not dict:
        raise TypeError("no call")
    return target(*args, **kwargs)


def _grade(request: dict[str, Any], connection: socket.socket) -> tuple[str, str, bool]:
    """Return status, detail, and whether the program has vanished for a reason that others must tell."""
    peer = _TestedPeer(connection, request["value_bytes"], request["entry_point"])
    try:
        peer.request("load", request["program"])
        _run_tests(peer, request["tests"])
    except BaseException as error:
        if peer.failure is None:
            return *_explained(error, peer), False
    if peer.failure is not None:  # even if the tests have caught it
        return peer.failure.status, peer.failure.detail, peer.failure.lost
    if not peer.entry_uses:
        return "error", "the tests never call the entry point", False
    return "passed", "", False


def _run_tests(peer: _TestedPeer, tests: str) -> None:
    entry_point = peer.entry_point
    names = sorted(free_names(tests) | {entry_point})
    kinds = peer.request("kinds", tuple(names))
    told = type(kinds) is dict and all(name in names for name in kinds)
    if not told or not all(type(kind) is str for kind in kinds.values()):
        raise peer.broken("error", "protocol broken: no kinds")
    if entry_point not in kinds:
        raise NameError(f"the program does not define {entry_point}")
    space: dict[str, Any] = {"__name__": "tests"}
    space |= {name: peer.stand_in(name, kind) for name, kind in kinds.items()}
    peer.entry = space[entry_point]
    space.setdefault("candidate", peer.entry)
    exec(compile(tests, _TESTS, "exec", dont_inherit=True), space)
    check: Callable[[Any], None] | None = space.get("check")
    if check is not None and "check" not in kinds:
        check(peer.entry)


def _explained(error: BaseException, peer: _TestedPeer) -> tuple[str, str]:
    """Return status and detail of an exception that ended the tests."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _TESTS]
    place = f"tests, line {lines[-1]}: " if lines else ""
    for raised, remote in peer.raised:
        if raised is error:
            return remote.status, f"{place}the program raised {remote}"
    try:
        text = f"{type(error).__name__}: {error}"[:MAX_TEXT]
    except Exception:
        text = type(error).__name__
    if isinstance(error, AssertionError):
        return "failed", f"{place}{text}".rstrip(": ")
    return ("memory" if isinstance(error, MemoryError) else "error"), place + text
