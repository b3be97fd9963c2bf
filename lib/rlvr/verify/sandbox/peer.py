"""What each end of a conversation sees of the other: its objects, its exceptions, and how it failed."""

import builtins
import errno
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

MAX_TEXT = 2_000  # characters of an exception's text that cross

Status = Literal["failed", "error", "timeout", "memory", "output_limit", "forbidden"]


def printable(text: str) -> str:
    """Return a text with escapes for what does not print: line ends, terminal controls, lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class ProgramFailure(Exception):
    """The program cannot go on: its status and a short reason. `lost` if the connection broke unexplained."""

    def __init__(self, status: Status, detail: str, lost: bool = False) -> None:
        self.status: Status = status
        self.detail = printable(detail)
        super().__init__(f"{status}: {self.detail}")
        self.lost = lost


class RemoteException(Exception):
    """An exception that the program raised: its class's name, and those of its built-in base classes."""

    def __init__(
        self, label: str, bases: Sequence[str], arguments: Sequence[Any], number: int | None = None
    ) -> None:
        super().__init__(printable(f"{label}: {', '.join(map(str, arguments))}"[:MAX_TEXT]))
        self.label = printable(label)
        self.bases = tuple(bases)
        self.arguments = tuple(arguments)
        self.number = number

    @property
    def status(self) -> Status:
        """What it means for a program not to have caught it."""
        if "MemoryError" in self.bases or ("OSError" in self.bases and self.number == errno.ENOMEM):
            return "memory"
        if "OSError" in self.bases and self.number in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
            return "output_limit"
        if "PermissionError" in self.bases or ("OSError" in self.bases and self.number == errno.EROFS):
            return "forbidden"
        return "error"

    def builtin(self) -> Exception:
        """Return it as the first of its bases that is a built-in Exception; never as an exit or interrupt."""
        for name in self.bases:
            kind = getattr(builtins, name, None)
            # StopIteration would end a loop of the catcher's as if all had gone well.
            if name in ("StopIteration", "StopAsyncIteration"):
                return RuntimeError(str(self))
            if isinstance(kind, type) and issubclass(kind, Exception):
                arguments = self.arguments
                if issubclass(kind, OSError) and self.number is not None:
                    arguments = (self.number, " ".join(map(str, arguments[-1:])))
                try:
                    return kind(*arguments)
                except (TypeError, ValueError):  # UnicodeDecodeError, ExceptionGroup want others
                    continue
        return Exception(str(self))


class Owner(Protocol):
    """The end of a conversation that an object came through."""

    def request(self, name: str, *values: Any) -> Any:
        """Ask the other side."""

    def broken(self, status: Status, detail: str, lost: bool = False) -> ProgramFailure:
        """Record that the conversation has failed."""


class RemoteObject:
    """An object of the other side, opaque here: it can be called, and has attributes and methods.

    Its length, items and iteration are values that the other side sends. It refuses comparison, truth and
    membership, which would be the other side's word on a question of the tests.
    """

    __slots__ = ("_label", "_number", "_peer")

    def __init__(self, peer: Owner, number: int, label: str) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_label", label)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it on its side."""
        return self._peer.request("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{name} of an object of the program")
        return self._peer.request("get", self, name)

    def __iter__(self) -> Iterator[Any]:
        return self._peer.request("iterate", self)

    def __len__(self) -> int:
        return self._peer.request("length", self)

    def __getitem__(self, key: Any) -> Any:
        return self._peer.request("item", self, key)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.request("set", self, name, value)

    def __repr__(self) -> str:
        return "<object of the program>"  # and no word of the program's

    def _refuse(self, *_: Any, **__: Any) -> Any:
        detail = f"an object of type {self._label} does not cross; it can only be called"
        raise self._peer.broken("error", detail)

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __bool__ = __contains__ = __index__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse


class CalledBack(RemoteObject):
    """A function of the trusted side, as the program sees it: an object that can be called and compared."""

    __slots__ = ()
    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def _truth(self) -> bool:
        return True

    __bool__ = _truth


def described(error: BaseException) -> tuple[str, tuple[str, ...], tuple[Any, ...], int | None]:
    """Return what crosses of an exception: class name, built-in bases, plain arguments, error number."""
    bases = tuple(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")
    arguments = []
    for argument in error.args[:10]:
        plain = type(argument) in (int, float, bool, type(None))
        arguments.append(argument if plain else _text(argument))
    number = error.errno if isinstance(error, OSError) and type(error.errno) is int else None
    return type(error).__name__, bases, tuple(arguments), number


def _text(value: Any) -> str:
    try:
        return str(value)[:MAX_TEXT]
    except Exception as error:
        return f"<no text: {type(error).__name__}>"
