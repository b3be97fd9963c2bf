"""Starting a fork server: a plain Python process that is handed the few modules it needs over a socket.

The process imports nothing of the package from disk: inside a jail the package is not there. It is never
forked from the caller, who may hold CUDA and threads. It ends when its socket closes, thus with the caller.
"""

import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlvr.sigterm import sheltered_from_sigterm
from rlvr.verify.sandbox.forkserver import MAX_CONTROL_BYTES
from rlvr.verify.sandbox.wire import (
    ClosedError,
    Frame,
    Stream,
    TooLargeError,
    WireError,
    receive_frame,
    send_frame,
)

# The modules that are handed over, each after those that it imports.
DATA_FILES = (
    "wire.py",
    "literals.py",
    "peer.py",
    "conversation.py",
    "forkserver.py",
    "kernel.py",
    "landlock.py",
    "seccomp.py",
    "confinement.py",
    "leftovers.py",
    "namespaces.py",
    "reach.py",
    "worker.py",
    "tests_text.py",
    "grader.py",
)
WORKER_MODULES = DATA_FILES[:13]
GRADER_MODULES = (*DATA_FILES[:5], *DATA_FILES[13:])
STARTUP_LIMIT_S = 60.0
END_LIMIT_S = 10.0

_PACKAGE = __name__.rpartition(".")[0]
_LENGTH = struct.Struct("!Q")
_BOOT = """
import json, os, socket, sys, types
link = socket.socket(fileno=os.dup(int(sys.argv[1])))
def read(count):
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            os._exit(0)
        data += part
    return data
modules = json.loads(read(int.from_bytes(read(8), "big")))
name = ""
for part in sys.argv[2].split("."):
    name = name + "." + part if name else part
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, text in modules:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
link.close()
module.main(int(sys.argv[1]))
"""
# Nothing of the caller's environment but the way to its shared libraries.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class StartError(RuntimeError):
    """A helper process did not start; says why as far as it is known."""


class HelperDiedError(RuntimeError):
    """A helper process died, or does not answer any more; another one may do."""


def python_command(executable: str) -> list[str]:
    """Return the command of a bare interpreter: no site packages of its own accord, no bytecode written."""
    return [executable, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", _BOOT]


class Helper:
    """A running fork server, and the control socket to it. One case at a time; not for several threads."""

    def __init__(
        self, prefix: Sequence[str], executable: str, modules: Sequence[str], setup: Mapping[str, Any]
    ) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the helper
        command = [*prefix, *python_command(executable), str(theirs.fileno()), _PACKAGE]
        libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        with theirs, sheltered_from_sigterm():
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=_ENVIRONMENT | libraries,
                cwd="/",
                start_new_session=True,  # an interrupt from the terminal is the caller's to handle
            )
        self._control = Stream(ours)
        self._broken = False
        _open_sockets.add(ours)
        self.greeting: list[Any] = []
        try:
            self._greet(modules, setup)
        except BaseException:
            self.stop()
            raise

    def _greet(self, modules: Sequence[str], setup: Mapping[str, Any]) -> None:
        folder = Path(__file__).parent
        texts = [(f"{_PACKAGE}.{Path(name).stem}", (folder / name).read_text("utf-8")) for name in modules]
        data = json.dumps(texts).encode()
        self._control.deadline = time.monotonic() + STARTUP_LIMIT_S
        try:
            self._control.arm()
            self._control.socket.sendall(_LENGTH.pack(len(data)) + data)
            send_frame(self._control, Frame(dict(setup)), MAX_CONTROL_BYTES)
            self.greeting = receive_frame(self._control, MAX_CONTROL_BYTES).header
            receive_frame(self._control, MAX_CONTROL_BYTES)
        except (OSError, ClosedError, WireError, TooLargeError) as error:
            self._process.kill()
            self._process.wait()
            raise StartError(self._last_words() or type(error).__name__) from error

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def pid(self) -> int:
        """Process id of the helper, or of the program that keeps its jail."""
        return self._process.pid

    def run(self, request: Mapping[str, Any], connection: socket.socket) -> None:
        """Start a case; `connection` is the socket that its child gets."""
        with self._talk(time.monotonic() + END_LIMIT_S):
            send_frame(self._control, Frame(["run", dict(request)]), MAX_CONTROL_BYTES)
            socket.send_fds(self._control.socket, [b"\0"], [connection.fileno()])

    def wait(self, deadline: float) -> dict[str, Any] | None:
        """Return how the case ended, or None if it has not by then."""
        readable, _, _ = select.select([self._control.socket], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return None
        with self._talk(time.monotonic() + END_LIMIT_S):
            return receive_frame(self._control, MAX_CONTROL_BYTES).header[1]

    def end(self) -> dict[str, Any]:
        """End the case, and return how it ended."""
        with self._talk(time.monotonic() + END_LIMIT_S):
            send_frame(self._control, Frame(["end"]), MAX_CONTROL_BYTES)
            return receive_frame(self._control, MAX_CONTROL_BYTES).header[1]

    @contextmanager
    def _talk(self, deadline: float) -> Iterator[None]:
        """Exchange messages with the process; HelperDiedError if it does not do its part by the deadline."""
        self._control.deadline = deadline
        try:
            yield
        except (OSError, ClosedError, WireError, TooLargeError, TypeError, LookupError) as error:
            self._broken = True
            raise HelperDiedError(f"a helper process ended ({type(error).__name__})") from error

    def alive(self) -> bool:
        """Whether the process still runs and has nothing to say unasked (the end of its stream, say)."""
        if self._broken or self._process.poll() is not None:
            return False
        return not select.select([self._control.socket], [], [], 0)[0]

    def stop(self) -> None:
        """End the helper and all that it started."""
        self._control.socket.close()
        try:
            self._process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


# A process forked from the caller (a data loader's worker) must not keep our helpers alive.
_open_sockets: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


def _close_in_fork() -> None:
    for link in list(_open_sockets):
        link.close()


os.register_at_fork(after_in_child=_close_in_fork)
