"""A conversation with one program in a worker slot."""

import socket
import time
from typing import Any

from rlvr.verify.sandbox.conversation import Peer
from rlvr.verify.sandbox.grader import call_back
from rlvr.verify.sandbox.helper import HelperDiedError
from rlvr.verify.sandbox.jail import Slot
from rlvr.verify.sandbox.limits import Limits
from rlvr.verify.sandbox.outcome import failure_of
from rlvr.verify.sandbox.peer import ProgramFailure, RemoteObject
from rlvr.verify.sandbox.wire import Stream

# What is known of the end of a program whose server died.
_LOST = {
    "exit": 0,
    "ended_by_us": False,
    "overflow": False,
    "output": "",
    "memory_kb": 0,
    "cpu_s": 0.0,
    "wall_s": 0.0,
}


class Session:
    """A conversation with one program.

    Every method may raise RemoteException, for an exception that the program raised, or ProgramFailure, when
    it cannot go on; after that each call fails in the same way.
    """

    def __init__(self, slot: Slot, limits: Limits, time_limit_s: float) -> None:
        self._slot = slot
        self._ended: dict[str, Any] | None = None
        ours, theirs = socket.socketpair()
        self._connection = ours
        stream = Stream(ours, time.monotonic() + time_limit_s)
        self._peer = Peer(stream, limits.value_bytes, call_back, can_export=callable)
        with theirs:
            try:
                slot.helper.run(request_of(limits, time_limit_s), theirs)
            except HelperDiedError as error:
                raise ProgramFailure("error", str(error)) from error

    def load(self, program: str) -> None:
        """Execute the text of a program as a module."""
        self._ask("load", program)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a global of the program."""
        return self._ask("call_global", name, args, kwargs)

    def call_method(self, handle: RemoteObject, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of an object of the program."""
        return self._ask("call", self._ask("get", handle, method), args, kwargs)

    def get(self, handle: RemoteObject, name: str) -> Any:
        """Return an attribute of an object of the program."""
        return self._ask("get", handle, name)

    def set(self, handle: RemoteObject, name: str, value: Any) -> None:
        """Set an attribute of an object of the program."""
        self._ask("set", handle, name, value)

    def get_global(self, name: str) -> Any:
        """Return a global of the program: a value, or a handle."""
        return self._ask("global", name)

    def end(self) -> dict[str, Any]:
        """End the program; return how it ended: exit, output (its beginning), overflow, memory_kb, cpu_s."""
        if self._ended is None:
            self._connection.close()
            try:
                self._ended = self._slot.helper.end()
            except HelperDiedError as error:
                self._ended = dict(_LOST)
                raise self._peer.broken("error", str(error)) from error
        return self._ended

    def _ask(self, name: str, *values: Any) -> Any:
        try:
            return self._peer.request(name, *values)
        except ProgramFailure as failure:
            if not failure.lost:
                raise
            self._peer.failure = failure_of(self.end())
            raise self._peer.failure from None


def request_of(limits: Limits, time_limit_s: float) -> dict[str, Any]:
    """Return what a worker is told of a case."""
    return {
        "limits": vars(limits),
        "time_limit_s": time_limit_s,
        "output_bytes": limits.output_kb << 10,
    }
