"""Both ends of the conversation with a program: calls one way, calls back of passed functions the other way.

The end beside the program answers every request on its objects; the trusted end exports nothing but functions
that were passed as arguments, and these can only be called.
"""

import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rlvr.verify.sandbox.literals import CannotCrossError, Decoder, Encoder, is_plain
from rlvr.verify.sandbox.peer import (
    MAX_TEXT,
    ProgramFailure,
    RemoteException,
    RemoteObject,
    Status,
    described,
)
from rlvr.verify.sandbox.wire import (
    ClosedError,
    Frame,
    Stream,
    TooLargeError,
    WireError,
    receive_frame,
    send_frame,
)

MAX_CALLS_BACK = 100  # calls back within calls back
MAX_FETCHED = 256  # items of an iterator at a time


class Peer:
    """One end. `answer` carries out a request by its name; `handle` is the class of the other side's objects.

    `can_export` says of a value that is no literal whether the other side may have it as an opaque object.
    Once the conversation has failed, `failure` says how, and every later request fails in the same way.
    """

    def __init__(
        self,
        stream: Stream,
        max_bytes: int,
        answer: Callable[..., Any],
        can_export: Callable[[Any], bool],
        handle: type[RemoteObject] = RemoteObject,
    ) -> None:
        self.failure: ProgramFailure | None = None
        self._stream = stream
        self._max_bytes = max_bytes
        self._answer = answer
        self._can_export = can_export
        self._handle = handle
        self._exports: list[Any] = []
        self._export_numbers: dict[int, int] = {}
        self._late_errors: dict[int, Exception] = {}
        self._lock = threading.RLock()  # threads of the program may call back
        self._depth = 0

    def broken(self, status: Status, detail: str, lost: bool = False) -> ProgramFailure:
        """Record that the conversation has failed, the first time; return how it failed."""
        if self.failure is None:
            self.failure = ProgramFailure(status, detail, lost)
        return self.failure

    def request(self, name: str, *values: Any) -> Any:
        """Ask the other side; RemoteException if it raised, ProgramFailure if it cannot answer."""
        if self.failure is not None:
            raise self.failure
        encoder = Encoder(self._export)
        try:
            form = encoder.encode(values)
            with self._lock:
                send_frame(self._stream, Frame([name, form], encoder.blobs), self._max_bytes)
                return self._reply(encoder.objects)
        except CannotCrossError as error:
            raise self.broken("error", f"cannot pass {error}") from error
        except TooLargeError as error:
            raise self.broken("output_limit", str(error)) from error
        except WireError as error:
            raise self.broken("error", f"protocol broken: {error}") from error
        except ClosedError as error:
            raise self.broken("error", "the program ended", lost=True) from error
        except TimeoutError as error:
            raise self.broken("timeout", "time limit") from error

    def serve(self) -> None:
        """Answer requests until the other side has gone."""
        while True:
            try:
                with self._lock:
                    frame = receive_frame(self._stream, self._max_bytes)
                self._respond(frame)
            except ClosedError:
                return

    def _reply(self, passed: list[Any]) -> Any:
        """Receive until the reply to our request, answering requests of the other side meanwhile."""
        while True:
            frame = receive_frame(self._stream, self._max_bytes)
            try:
                kind, form = frame.header
            except (TypeError, ValueError) as error:
                raise WireError("no message") from error
            if kind == "none":
                self._apply(Decoder(frame.blobs, self._resolve, passed), form, passed)
                return None
            decoder = Decoder(frame.blobs, self._resolve)
            if kind == "value":
                return decoder.decode(form)
            if kind == "raised":
                raise self._exception(decoder.decode(form))
            if kind == "failed":
                raise self._failed(decoder.decode(form))
            self._respond(frame)

    def _respond(self, frame: Frame) -> None:
        if self._depth >= MAX_CALLS_BACK:
            raise WireError("too many calls within calls")
        self._depth += 1
        try:
            name, form = frame.header
            decoder = Decoder(frame.blobs, self._resolve)
            values = decoder.decode(form)
            if type(name) is not str or type(values) is not tuple:
                raise WireError("no request")
            encoder, header = self._outcome(name, values, decoder.objects)
        except (TypeError, ValueError) as error:
            raise WireError("no message") from error
        finally:
            self._depth -= 1
        with self._lock:
            try:
                send_frame(self._stream, Frame(header, encoder.blobs), self._max_bytes)
            except TooLargeError as error:
                failed = ["failed", ["tuple", ["output_limit", str(error)]]]
                send_frame(self._stream, Frame(failed), self._max_bytes)

    def _outcome(self, name: str, values: tuple[Any, ...], passed: list[Any]) -> tuple[Encoder, list[Any]]:
        """Carry a request out; return the reply and its encoder."""
        before = [_snapshot(value) for value in passed]
        encoder = Encoder(self._export)
        try:
            result = self._advance(*values) if name == "advance" else self._answer(name, *values)
            if result is not None:
                return encoder, ["value", encoder.encode(result)]
            encoder = Encoder(self._export, passed)
            changed = [n for n, old in enumerate(before) if not _same(old, _snapshot(passed[n]))]
            return encoder, ["none", [[n, encoder.contents(passed[n])] for n in changed]]
        except CannotCrossError as error:
            return Encoder(self._export), ["failed", ["tuple", ["error", f"cannot return {error}"]]]
        except TooLargeError as error:
            return Encoder(self._export), ["failed", ["tuple", ["output_limit", str(error)]]]
        except ProgramFailure:
            raise
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            detail = f"{type(error).__name__} instead of an answer"
            return Encoder(self._export), ["failed", ["tuple", ["error", detail]]]
        except Exception as error:
            encoder = Encoder(self._export)
            return encoder, ["raised", encoder.encode(described(error))]

    def _apply(self, decoder: Decoder, form: Any, passed: list[Any]) -> None:
        """Put the changes of a call that returned None into the arguments passed."""
        if type(form) is not list:
            raise WireError("no changes")
        changes = []
        for change in form:
            if type(change) is not list or len(change) != 2 or change[0] not in range(len(passed)):
                raise WireError("no change")
            changes.append(decoder.change(passed[change[0]], change[1]))
        for apply in changes:
            apply()

    def _exception(self, described: Any) -> RemoteException:
        try:
            label, bases, arguments, number = described
        except (TypeError, ValueError) as error:
            raise WireError("no exception") from error
        plain = isinstance(bases, tuple) and isinstance(arguments, tuple) and isinstance(number, int | None)
        if not (plain and isinstance(label, str) and all(isinstance(base, str) for base in bases)):
            raise WireError("no exception")
        return RemoteException(label[:MAX_TEXT], bases, arguments, number)

    def _failed(self, described: Any) -> ProgramFailure:
        try:
            status, detail = described
        except (TypeError, ValueError) as error:
            raise WireError("no failure") from error
        if status not in ("error", "memory", "output_limit") or not isinstance(detail, str):
            raise WireError("no failure")
        return self.broken(status, detail[:MAX_TEXT])

    def _iterate(self, number: int) -> Iterator[Any]:
        """Fetch the items of the other side's iterator: one, then two, then more at a time."""
        count, ended = 1, False
        while not ended:
            items, ended = self._items(self.request("advance", number, count))
            yield from items
            count = min(2 * count, MAX_FETCHED)

    def _items(self, answer: Any) -> tuple[list[Any], bool]:
        shaped = type(answer) is tuple and len(answer) == 2
        if not (shaped and type(answer[0]) is list and type(answer[1]) is bool):
            raise self.broken("error", "protocol broken: no items")
        return answer

    def _advance(self, number: int, count: int) -> tuple[list[Any], bool]:
        """Return the next items of an iterator of ours, and whether it has ended; an error comes last."""
        iterator = self._exports[number]
        if not _is_iterator(iterator):
            raise TypeError("no iterator")
        if number in self._late_errors:
            raise self._late_errors.pop(number)
        items: list[Any] = []
        try:
            while len(items) < count and is_plain(items[-1:]):  # large items one by one
                items.append(next(iterator))
        except StopIteration:
            return items, True
        except Exception as error:
            if not items:
                raise
            self._late_errors[number] = error
        return items, False

    def _export(self, value: Any) -> list[Any]:
        if isinstance(value, RemoteObject) and value._peer is self:
            return ["own", value._number]
        if _is_iterator(value):
            return ["iterator", self._number_of(value)]
        if not self._can_export(value):
            raise CannotCrossError(f"an object of type {type(value).__name__}")
        return ["remote", self._number_of(value), type(value).__name__]

    def _number_of(self, value: Any) -> int:
        if id(value) not in self._export_numbers:
            self._export_numbers[id(value)] = len(self._exports)
            self._exports.append(value)
        return self._export_numbers[id(value)]

    def _resolve(self, form: list[Any]) -> Any:
        if form[0] == "iterator" and len(form) == 2 and type(form[1]) is int:
            return self._iterate(form[1])
        if form[0] == "own" and len(form) == 2 and form[1] in range(len(self._exports)):
            return self._exports[form[1]]
        if form[0] == "remote" and len(form) == 3 and type(form[1]) is int and type(form[2]) is str:
            return self._handle(self, form[1], form[2][:100])
        raise WireError("an unknown form")


def _is_iterator(value: Any) -> bool:
    return hasattr(type(value), "__next__") and hasattr(type(value), "__iter__")


def _snapshot(value: Any) -> Any:
    """Elements of a container, to tell later whether the container itself was changed."""
    if isinstance(value, dict):
        return [element for pair in dict.items(value) for element in pair]
    if isinstance(value, list | set):
        return list(value)
    return bytes(value) if isinstance(value, bytearray) else value.tobytes()


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, bytes):
        return old == new
    return len(old) == len(new) and all(map(operator.is_, old, new))
