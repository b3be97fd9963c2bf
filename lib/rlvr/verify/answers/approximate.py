"""Values in floating point: enough to see that two of them differ, never that they are equal."""

import cmath
import math
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction

from rlvr.verify.answers.polynomial import Atom, Generator, Polynomial
from rlvr.verify.answers.values import Value, from_key

_CONSTANTS = {"pi": math.pi, "e": math.e, "i": 1j}
_GAMMA_LIMIT = 150.0


def _log(value: complex) -> complex:
    return cmath.log(value) if value.imag or value.real < 0 else complex(math.log(value.real))


def _floor(value: complex) -> complex:
    if abs(value.imag) > 1e-12 or abs(value.real - round(value.real)) < 1e-6:
        raise ValueError("floor")
    return complex(math.floor(value.real))


def _factorial(value: complex) -> complex:
    if abs(value.imag) > 1e-12 or value.real <= -0.5:
        raise ValueError("factorial")
    if value.real >= _GAMMA_LIMIT:
        raise OverflowError("factorial")
    return complex(math.gamma(value.real + 1))


_FUNCTIONS: dict[str, Callable[..., complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "ln": _log,
    "abs": lambda value: complex(abs(value)),
    "power": lambda base, exponent: base**exponent,
    "sum": lambda value: value,
    "factorial": _factorial,
    "binomial": lambda n, k: _factorial(n) / _factorial(k) / _factorial(n - k),
    "floor": _floor,
    "ceil": lambda value: _floor(value) + 1,
}


class _UnknownError(Exception):
    """A generator that has no number here."""


def _generator(name: Generator, point: Mapping[str, float]) -> complex:
    if isinstance(name, int):
        return complex(name)
    if isinstance(name, Atom):
        if name.name not in _FUNCTIONS:
            raise _UnknownError
        arguments = [_value(from_key(argument), point)[0] for argument in name.arguments]
        return _FUNCTIONS[name.name](*arguments)
    if name in _CONSTANTS:
        return complex(_CONSTANTS[name])
    if name not in point:
        raise _UnknownError
    return complex(point[name])


def _polynomial(polynomial: Polynomial, point: Mapping[str, float]) -> tuple[complex, float]:
    """The number and the sum of the sizes of its terms, which bounds its rounding error."""
    total, size = 0j, 0.0
    for term, number in polynomial.items():
        product = complex(float(number))
        for name, exponent in term:
            product *= _generator(name, point) ** (
                float(exponent) if isinstance(exponent, Fraction) else exponent
            )
        total += product
        size += abs(product)
    return total, size


def _value(value: Value, point: Mapping[str, float]) -> tuple[complex, float]:
    above, above_size = _polynomial(value.above, point)
    below, below_size = _polynomial(value.below, point)
    if below_size > 1e6 * abs(below):
        raise _UnknownError
    return above / below, above_size / abs(below)


def approximate(value: Value, point: Mapping[str, float]) -> complex | None:
    """The number at a point (variables by name), or None if it is unknown or out of range."""
    try:
        return _value(value, point)[0]
    except (_UnknownError, ArithmeticError, ValueError):
        return None


def _sized(value: Value, point: Mapping[str, float]) -> tuple[complex, float] | None:
    """As `_value`; infinite if it is out of range, None if it is unknown."""
    try:
        return _value(value, point)
    except OverflowError:
        return 0j, math.inf
    except (_UnknownError, ArithmeticError, ValueError):
        return None


def surely_differ(left: Value, right: Value) -> bool:
    """Whether the difference of two values at fixed points is far beyond rounding."""
    names = {name for value in (left, right) for name in value.generators() if isinstance(name, str)}
    for low in (0.35, 1.85):
        point = {name: low + zlib.crc32(name.encode(errors="replace")) / 2**32 for name in names}
        one, other = _sized(left, point), _sized(right, point)
        if one is None or other is None:
            continue
        (first, first_size), (second, second_size) = one, other
        if math.isinf(first_size) != math.isinf(second_size):
            return True
        difference = abs(first - second)
        if math.isfinite(difference) and difference > 1e-9 * (first_size + second_size):
            return True
    return False
