"""Inside the jail: the warm server and, in each fork of it, one program that answers calls over a socket."""

import gc
import io
import os
import random
import socket
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

from rlvr.verify.sandbox.confinement import Confinement, confine, prepare, protect_server
from rlvr.verify.sandbox.conversation import Peer
from rlvr.verify.sandbox.forkserver import MAX_CONTROL_BYTES, Child, serve
from rlvr.verify.sandbox.leftovers import empty_folder, killer, remove_folder
from rlvr.verify.sandbox.namespaces import enter
from rlvr.verify.sandbox.peer import CalledBack, RemoteException
from rlvr.verify.sandbox.reach import reachable
from rlvr.verify.sandbox.wire import Frame, Stream, receive_frame, send_frame

PROGRAM = "program"  # name of the module that the program becomes
OUT_OF_MEMORY = 113  # exit status of a program that has not even the memory to say so
CONNECTION = 3  # the only descriptor of a program beside standard input and output
_HIGHEST_DESCRIPTOR = 1 << 16


def main(control_descriptor: int) -> None:
    """Set the server up as the other side says, and serve."""
    control = socket.socket(fileno=control_descriptor)
    setup = receive_frame(Stream(control), MAX_CONTROL_BYTES).header
    if setup["enter_namespaces"]:
        enter(setup)
    sys.path[:] = setup["search_path"]
    for name in setup["preload"]:
        __import__(name)
    kept: list[int] = []
    if setup["uid"] and not setup["own_processes"]:
        sys.path[:], kept = reachable(setup["search_path"])
    layers = prepare(setup)
    protect_server(setup)
    send_frame(Stream(control), Frame(["layers", list(layers.layers)]), MAX_CONTROL_BYTES)
    gc.collect()
    gc.freeze()  # forks then share these pages
    kill_children = killer(setup["own_processes"], setup["uid"])
    serve(control, Child(_runner(layers, kept), kill_children, partial(empty_folder, setup["folder"])))
    remove_folder(setup)  # also if the caller was killed


def _runner(layers: Confinement, descriptors: list[int]) -> Callable[[dict[str, Any], int, int], None]:
    def run(request: dict[str, Any], connection: int, output: int) -> None:
        os.setsid()
        for source, target in ((output, 1), (output, 2), (connection, CONNECTION)):
            os.dup2(source, target)
        kept = sorted({CONNECTION, layers.ruleset, *descriptors} - {-1})
        for low, high in zip(kept, [*kept[1:], _HIGHEST_DESCRIPTOR], strict=True):
            os.closerange(low + 1, high)
        confine(layers, request["limits"], request["time_limit_s"])
        for name in [name for name in sys.modules if name.partition(".")[0] == "rlvr"]:
            del sys.modules[name]
        for name in set(os.environ) - {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}:
            del os.environ[name]
        random.seed(0)
        assert isinstance(sys.stdout, io.TextIOWrapper)  # nothing has replaced it yet
        sys.stdout.reconfigure(line_buffering=True)  # a program is ended, it does not exit: nothing flushes
        try:
            program = _Program(request["limits"]["value_mb"] << 20)
            program.peer.serve()
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        os._exit(0)

    return run


class _ProgramPeer(Peer):
    """The program's end: an exception in a function that was passed to it is a built-in one here."""

    def request(self, name: str, *values: Any) -> Any:
        """As Peer's, but for exceptions."""
        try:
            return super().request(name, *values)
        except RemoteException as error:
            raise error.builtin() from None


class _Program:
    """The program as a module, and the requests that its caller may make of it."""

    def __init__(self, max_bytes: int) -> None:
        stream = Stream(socket.socket(fileno=CONNECTION))
        self.peer = _ProgramPeer(
            stream, max_bytes, self._answer, can_export=lambda _: True, handle=CalledBack
        )
        self._module = types.ModuleType(PROGRAM)

    def _answer(self, name: str, *values: Any) -> Any:
        return getattr(self, f"_do_{name}")(*values)

    def _do_load(self, text: str) -> None:
        sys.modules[PROGRAM] = self._module
        exec(compile(text, f"<{PROGRAM}>", "exec", dont_inherit=True), self._module.__dict__)

    def _do_kinds(self, names: tuple[str, ...]) -> dict[str, str]:
        """Which of these names the program defines: a function (or class), a module, or another value."""
        found = vars(self._module)
        return {name: _kind(found[name]) for name in names if name in found}

    def _do_global(self, name: str) -> Any:
        return self._find(name)

    def _do_call_global(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._find(name)(*args, **kwargs)

    def _do_call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return target(*args, **kwargs)

    def _do_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _do_iterate(self, target: Any) -> Any:
        return iter(target)

    def _do_length(self, target: Any) -> int:
        return len(target)

    def _do_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def _do_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def _find(self, name: str) -> Any:
        try:
            return vars(self._module)[name]
        except KeyError:
            raise NameError(f"the program does not define {name}") from None


def _kind(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    return "function" if callable(value) else "value"
