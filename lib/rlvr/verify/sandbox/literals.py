"""The values that cross between a program and those who call it: literal data only.

The reader itself builds every value, of an exact built-in type, and bounds its depth. Not even a subclass
crosses: it is sent as its base, so that no method of the sender's making ever runs on the reader's side.
"""

import builtins
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from rlvr.verify.sandbox.wire import WireError

MAX_DEPTH = 200
PLAIN_INT_BITS = 1024  # longer ones travel in hexadecimal: decimal text of a huge int is quadratic

_DTYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_DTYPES |= {"float16", "float32", "float64", "complex64", "complex128"}
# Types that cross by name, either way: they hold no state, and the reader looks up its own.
_TYPES = {
    kind.__name__: kind
    for kind in vars(builtins).values()
    if isinstance(kind, type) and kind is not type and kind.__module__ == "builtins"
}
_PARTS = {
    complex: ("real", "imag"),
    range: ("start", "stop", "step"),
    Fraction: ("numerator", "denominator"),
}
_COLLECTIONS: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (tuple, tuple.__iter__),
    (frozenset, frozenset.__iter__),
)
_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
)
_VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}


class CannotCrossError(TypeError):
    """A value of a kind that does not cross."""


def is_plain(items: Iterable[Any]) -> bool:
    """Whether all items can stand in JSON as they are; runs at C speed."""
    kinds = set(map(type, items))
    if not kinds <= {int, float, str, bool, type(None)}:
        return False
    if kinds & {float} and not all(math.isfinite(item) for item in items if type(item) is float):
        return False
    return int not in kinds or all(item.bit_length() < PLAIN_INT_BITS for item in items if type(item) is int)


class Encoder:
    """Encodes the values of one frame.

    Mutable containers are numbered in the order met, after `known`, those that the reader has already; so a
    value that holds one twice, or itself, arrives as it is. `export` gives the tagged form of anything that
    is no literal, or raises CannotCrossError.
    """

    def __init__(self, export: Callable[[Any], list[Any]], known: Sequence[Any] = ()) -> None:
        self.blobs: list[bytes] = []
        self.objects: list[Any] = list(known)  # kept alive: the numbers hang on their ids
        self._export = export
        self._numbers = {id(value): number for number, value in enumerate(known)}

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return the JSON form of a value."""
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if kind is int:
            return value if value.bit_length() < PLAIN_INT_BITS else ["int", hex(value)]
        if depth > MAX_DEPTH:
            raise CannotCrossError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, list | dict | set | bytearray) or _numpy_kind(value) == "array":
            if id(value) in self._numbers:
                return ["ref", self._numbers[id(value)]]
            self._numbers[id(value)] = len(self.objects)
            self.objects.append(value)
            return self.contents(value, depth)
        return self._immutable(value, kind, depth)

    def contents(self, value: Any, depth: int = 0) -> list[Any]:
        """Return the JSON form of a mutable container's contents."""
        if isinstance(value, list):
            return ["list", self._items(list.__iter__(value), depth)]
        if isinstance(value, dict):
            pairs = list(dict.items(value))
            keys = self._items([key for key, _ in pairs], depth)
            return ["dict", keys, self._items([item for _, item in pairs], depth)]
        if isinstance(value, set):
            return ["set", self._items(set.__iter__(value), depth)]
        if isinstance(value, bytearray):
            return ["bytearray", self._blob(bytes(value))]
        return ["array", *self._array(value)]

    def _immutable(self, value: Any, kind: type, depth: int) -> Any:
        """Tuples and other immutable values; subclasses as their base."""
        for base, iterate in _COLLECTIONS:
            if isinstance(value, base):
                return [base.__name__, self._items(iterate(value), depth)]
        if isinstance(value, bytes):
            return ["bytes", self._blob(bytes(value))]
        if kind in _PARTS:
            parts = [getattr(value, name) for name in _PARTS[kind]]
            return [kind.__name__.lower(), *map(self.encode, parts)]
        if kind in _VIEWS:
            return ["view", _VIEWS[kind], self._items(value, depth)]
        if _numpy_kind(value) == "scalar":
            return ["scalar", *self._array(value)]
        return self._unusual(value, depth)

    def _unusual(self, value: Any, depth: int) -> Any:
        """Scalars of a subclass, some standard types, and what does not cross as data."""
        if isinstance(value, Decimal):
            return ["decimal", str(value)]
        if type(value) is deque:
            return ["deque", self._items(value, depth), value.maxlen]
        for base, exact in _EXACT:
            if isinstance(value, base):
                return self.encode(exact(value), depth)
        if isinstance(value, type):
            return ["type", value.__name__] if _TYPES.get(value.__name__) is value else self._export(value)
        return self._export(value)

    def _items(self, values: Iterable[Any], depth: int) -> list[Any]:
        items = list(values)
        if is_plain(items):
            return items
        return [self.encode(item, depth + 1) for item in items]

    def _blob(self, data: bytes) -> int:
        self.blobs.append(data)
        return len(self.blobs) - 1

    def _array(self, value: Any) -> list[Any]:
        if value.dtype.name not in _DTYPES:
            raise CannotCrossError(f"a NumPy array of {value.dtype.name}")
        return [value.dtype.name, list(value.shape), self._blob(value.astype(value.dtype.name).tobytes())]


def _numpy_kind(value: Any) -> str:
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "generic"):
        return ""
    if isinstance(value, numpy.ndarray):
        return "array"
    return "scalar" if isinstance(value, numpy.generic) else ""


class Decoder:
    """Builds the values of one frame. `known` are the objects that the sender refers to by number.

    `resolve` turns the tagged form of what is no literal into an object. Malformed forms raise WireError.
    """

    def __init__(
        self, blobs: list[bytes], resolve: Callable[[list[Any]], Any], known: Sequence[Any] = ()
    ) -> None:
        self.objects: list[Any] = list(known)
        self._blobs = blobs
        self._resolve = resolve

    def decode(self, form: Any) -> Any:
        """Return the value of a JSON form."""
        try:
            return self._value(form, 0)
        except _MALFORMED as error:
            raise WireError(f"no value: {type(error).__name__}") from error

    def change(self, target: Any, form: Any) -> Callable[[], None]:
        """Read new contents for a known container; the function returned puts them in."""
        try:
            if _numpy_kind(target) == "array":
                return partial(_overwrite, target, self._array(*form[1:]))
            if not isinstance(target, _CHANGEABLE.get(form[0], ())):
                raise WireError("contents of another kind")
            return partial(_assign, target, self._contents(form, 0))
        except _MALFORMED as error:
            raise WireError(f"no contents: {type(error).__name__}") from error

    def _value(self, form: Any, depth: int) -> Any:
        if type(form) is not list:
            if type(form) is dict:
                raise WireError("an object")
            return form
        if depth > MAX_DEPTH + 1:
            raise WireError("nested too deep")
        tag = form[0]
        if tag in _CHANGEABLE:
            value = _CHANGEABLE[tag]()
            self.objects.append(value)
            _assign(value, self._contents(form, depth))
            return value
        if tag == "array":
            self.objects.append(self._array(*form[1:]))
            return self.objects[-1]
        if tag == "ref":
            return self.objects[_natural(form[1])]
        build = _BUILDERS.get(tag)
        return self._resolve(form) if build is None else build(self, depth, *form[1:])

    def _contents(self, form: list[Any], depth: int) -> Any:
        tag = form[0]
        if tag == "dict":
            keys, values = self._items(form[1], depth), self._items(form[2], depth)
            return dict(zip(keys, values, strict=True))
        if tag == "bytearray":
            return self._blobs[_natural(form[1])]
        items = self._items(form[1], depth)
        return set(items) if tag == "set" else items

    def _items(self, forms: Any, depth: int) -> list[Any]:
        if type(forms) is not list:
            raise WireError("no items")
        return [self._value(form, depth + 1) if type(form) in (list, dict) else form for form in forms]

    def _array(self, dtype: str, shape: list[int], blob: int) -> Any:
        if dtype not in _DTYPES:
            raise WireError("an array of another type")
        import numpy

        data = numpy.frombuffer(self._blobs[_natural(blob)], numpy.dtype(dtype))
        if dtype == "bool":  # a byte of 2 would be neither True nor False
            data = data.view(numpy.uint8) != 0
        return data.reshape([_natural(size) for size in shape]).copy()

    def _view(self, depth: int, which: str, forms: Any) -> Any:
        items = self._items(forms, depth)
        if which == "values":
            return dict(enumerate(items)).values()
        return dict.fromkeys(items).keys() if which == "keys" else dict(items).items()


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise WireError("no count")
    return number


def _assign(target: Any, contents: Any) -> None:
    """Replace the contents of a container, which stays the same object."""
    if isinstance(target, list | bytearray):
        target[:] = contents
    else:
        target.clear()
        target.update(contents)


def _overwrite(target: Any, new: Any) -> None:
    if target.shape != new.shape or target.dtype != new.dtype:
        raise WireError("an array of another shape or type")
    target[...] = new


def _number(decoder: Decoder, kind: type, forms: Sequence[Any]) -> list[Any]:
    values = [decoder._value(form, 0) for form in forms]
    if any(type(value) is not kind for value in values):
        raise WireError(f"no {kind.__name__}")
    return values


_MALFORMED = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError, AttributeError)
_CHANGEABLE: dict[str, type] = {"list": list, "dict": dict, "set": set, "bytearray": bytearray}
_BUILDERS: dict[str, Callable[..., Any]] = {
    "float": lambda _, _depth, text: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text],
    "int": lambda _, _depth, text: int(text, 16),
    "complex": lambda self, _depth, *parts: complex(*_number(self, float, parts)),
    "fraction": lambda self, _depth, *parts: Fraction(*_number(self, int, parts)),
    "decimal": lambda _, _depth, text: Decimal(str(text)),
    "range": lambda self, _depth, *parts: range(*_number(self, int, parts)),
    "tuple": lambda self, depth, forms: tuple(self._items(forms, depth)),
    "frozenset": lambda self, depth, forms: frozenset(self._items(forms, depth)),
    "deque": lambda self, depth, forms, size: deque(self._items(forms, depth), size),
    "bytes": lambda self, _depth, blob: self._blobs[_natural(blob)],
    "view": lambda self, depth, which, forms: self._view(depth, which, forms),
    "scalar": lambda self, _depth, dtype, _shape, blob: self._array(dtype, [], blob)[()],
    "type": lambda _, _depth, name: _TYPES[name],
}
