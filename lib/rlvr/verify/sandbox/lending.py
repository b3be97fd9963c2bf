"""A fixed number of things that are made when first needed and lent to one thread at a time."""

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from rlvr.verify.sandbox.peer import ProgramFailure, RemoteException


class Lendable(Protocol):
    """What can be lent: it may die, and it can be stopped."""

    def alive(self) -> bool:
        """Whether it can still be used."""

    def stop(self) -> None:
        """End it."""


Thing = TypeVar("Thing", bound=Lendable)


class Lender(Generic[Thing]):
    """Lends up to `size` things made by `make`; dead ones are replaced."""

    def __init__(self, make: Callable[[], Thing], size: int) -> None:
        if size < 1:
            raise ValueError(f"{size} is no number of workers")
        self._make = make
        self._size = size
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._free: queue.LifoQueue[Thing | None] = queue.LifoQueue()
        for _ in range(self._size):
            self._free.put(None)

    def close(self) -> None:
        """Stop all that is not lent; what is needed later is made anew."""
        if self._owner != os.getpid():  # a fork of the process that made them: they are not ours to stop
            return
        kept = [self._free.get() for _ in range(self._free.qsize())]
        for thing in kept:
            if thing is not None:
                thing.stop()
            self._free.put(None)

    @contextlib.contextmanager
    def lend(self) -> Iterator[Thing]:
        """Lend one, waiting for it if need be.

        One whose use ends with an exception that is not the program's is in a doubtful state, and is stopped.
        """
        with self._lock:
            if self._owner != os.getpid():
                self._reset()
        free = self._free
        thing = free.get()
        try:
            if thing is not None and not thing.alive():
                thing.stop()
                thing = None
            if thing is None:
                thing = self._make()
            yield thing
        except (ProgramFailure, RemoteException):
            raise
        except BaseException:
            if thing is not None:
                thing.stop()
            thing = None
            raise
        finally:
            free.put(thing)
