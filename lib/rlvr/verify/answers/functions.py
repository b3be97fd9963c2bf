"""Functions: exact values where there are simple ones, else atoms."""

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial

from rlvr.verify.answers.approximate import approximate
from rlvr.verify.answers.limits import MAX_FACTORIAL, TooLargeError, UnreadableError
from rlvr.verify.answers.polynomial import ONE, Atom, Generator
from rlvr.verify.answers.values import Value, atom, power, prime_exponents

DEGREE = "degree"
PI = Value.generator("pi")
NUMBER = Value.number
HALF = NUMBER(Fraction(1, 2))


def root(value: Value, degree: Value) -> Value:
    """The degree-th root."""
    return power(value, NUMBER(1) / degree)


def _square_root(number: int) -> Value:
    return root(NUMBER(number), NUMBER(2))


# Sines of 0, 15, ..., 90 degrees.
_SINES = (
    NUMBER(0),
    (_square_root(6) - _square_root(2)) * NUMBER(Fraction(1, 4)),
    HALF,
    _square_root(2) * HALF,
    _square_root(3) * HALF,
    (_square_root(6) + _square_root(2)) * NUMBER(Fraction(1, 4)),
    NUMBER(1),
)


def _quarter_twelfths(angle: Value) -> int | None:
    """The angle in units of 15 degrees, if it is a multiple of that."""
    if not angle.above:
        return 0
    if (single := angle.single) is None:
        return None
    number, term = single
    if term == frozenset({("pi", 1)}):
        steps = number * 12
    elif term == frozenset({(DEGREE, 1)}):
        steps = number / 15
    else:
        return None
    return steps.numerator if steps.denominator == 1 else None


def _sine_of(steps: int) -> Value:
    steps %= 24
    sign = NUMBER(1 if steps < 12 else -1)
    steps %= 12
    return sign * _SINES[min(steps, 12 - steps)]


def _in_radians(angle: Value) -> Value:
    """Degrees converted; other angles as they are."""
    if (single := angle.single) is not None and (DEGREE, 1) in single[1]:
        rest = single[1] - {(DEGREE, 1)}
        return Value({rest: single[0]}, ONE) * PI * NUMBER(Fraction(1, 180))
    return angle


def sine(angle: Value) -> Value:
    """The sine; exact at multiples of 15 degrees."""
    steps = _quarter_twelfths(angle)
    return _sine_of(steps) if steps is not None else atom("sin", _in_radians(angle))


def cosine(angle: Value) -> Value:
    """The cosine; exact at multiples of 15 degrees."""
    steps = _quarter_twelfths(angle)
    return _sine_of(steps + 6) if steps is not None else atom("cos", _in_radians(angle))


def tangent(angle: Value) -> Value:
    """The tangent."""
    return sine(angle) / cosine(angle)


def _inverse(
    name: str, function: Callable[[Value], Value], first: int, last: int
) -> Callable[[Value], Value]:
    def inverse(value: Value) -> Value:
        for steps in range(first, last + 1):
            angle = PI * NUMBER(Fraction(steps, 12))
            if (name != "arctan" or abs(steps) < 6) and not (function(angle) - value).above:
                return angle
        return atom(name, value)

    return inverse


def exponential(value: Value) -> Value:
    """e to a power; exact at multiples of i pi / 12."""
    turn = frozenset({("i", 1), ("pi", 1)})
    steps = value.above.get(turn, Fraction(0)) * 12 if value.below == ONE else Fraction(1, 2)
    if steps and steps.denominator == 1:
        rest = Value({term: number for term, number in value.above.items() if term != turn}, ONE)
        angle = PI * NUMBER(steps / 12)
        return power(Value.generator("e"), rest) * (cosine(angle) + Value.generator("i") * sine(angle))
    return power(Value.generator("e"), value)


def logarithm(value: Value) -> Value:
    """The natural logarithm, split at the factors of its argument."""
    if not value.above:
        raise UnreadableError("logarithm of zero")
    single = value.single
    if single is None or single[0] < 0:
        return atom("ln", value)
    number, term = single
    total = NUMBER(0)
    for prime, exponent in prime_exponents(number).items():
        total += atom("ln", NUMBER(prime)) * NUMBER(exponent)
    for generator, own in term:
        total += NUMBER(own) * _logarithm_of(generator, own)
    return total


def _logarithm_of(generator: Generator, exponent: Fraction | int) -> Value:
    if generator == "e":
        return NUMBER(1)
    if isinstance(generator, int):
        return atom("ln", NUMBER(generator))
    even = Fraction(exponent) % 2 == 0 and generator != "pi"  # ln x^2 is 2 ln |x|
    base = Value.generator(generator)
    return atom("ln", absolute(base) if even else base)


def logarithm_to_base(base: Value, value: Value) -> Value:
    """The logarithm to a base."""
    return logarithm(value) / logarithm(base)


def absolute(value: Value) -> Value:
    """The absolute value; exact for real numbers."""
    number = approximate(value, {})
    if number is not None and abs(number.imag) < 1e-12 and abs(number.real) > 1e-9:
        return value if number.real > 0 else -value
    parts = _complex_parts(value)
    if parts is not None:
        real, imaginary = parts
        return root(real * real + imaginary * imaginary, NUMBER(2)) if imaginary.above else atom("abs", value)
    if not value.above:
        return value
    return atom("abs", value)


def _complex_parts(value: Value) -> tuple[Value, Value] | None:
    """Real and imaginary part of a number without variables and denominator."""
    if value.below != ONE or any(
        isinstance(name, str | Atom) and name not in ("i", "pi", "e") for name in value.generators()
    ):
        return None
    imaginary = {term - {("i", 1)}: number for term, number in value.above.items() if ("i", 1) in term}
    real = {term: number for term, number in value.above.items() if ("i", 1) not in term}
    return Value(real, ONE), Value(imaginary, ONE)


def _floor(value: Value) -> Value:
    number = value.rational
    return NUMBER(number.__floor__()) if number is not None else atom("floor", value)


def _ceiling(value: Value) -> Value:
    number = value.rational
    return NUMBER(number.__ceil__()) if number is not None else atom("ceil", value)


def factorial_of(value: Value) -> Value:
    """The factorial; kept as it is where it is too large to compute."""
    number = value.rational
    if number is not None and (number < 0 or number.denominator != 1):
        raise UnreadableError("factorial of no whole number")
    if number is None or number > MAX_FACTORIAL:
        return atom("factorial", value)
    return NUMBER(factorial(number.numerator))


def binomial(upper: Value, lower: Value) -> Value:
    """The binomial coefficient."""
    n, k = upper.rational, lower.rational
    if n is None or k is None:
        return atom("binomial", upper, lower)
    if n.denominator != 1 or k.denominator != 1 or n < 0:
        raise UnreadableError("binomial coefficient of no whole numbers")
    if n > MAX_FACTORIAL:
        raise TooLargeError("binomial coefficient of a large number")
    return NUMBER(comb(n.numerator, k.numerator) if k >= 0 else 0)


FUNCTIONS: dict[str, Callable[[Value], Value]] = {
    "sin": sine,
    "cos": cosine,
    "tan": tangent,
    "cot": lambda angle: cosine(angle) / sine(angle),
    "sec": lambda angle: NUMBER(1) / cosine(angle),
    "csc": lambda angle: NUMBER(1) / sine(angle),
    "arcsin": _inverse("arcsin", sine, -6, 6),
    "arccos": _inverse("arccos", cosine, 0, 12),
    "arctan": _inverse("arctan", tangent, -5, 5),
    "ln": logarithm,
    "log": lambda value: logarithm_to_base(NUMBER(10), value),  # as math-verify reads it
    "lg": lambda value: logarithm_to_base(NUMBER(10), value),
    "exp": exponential,
    "cis": lambda angle: cosine(angle) + Value.generator("i") * sine(angle),
    "abs": absolute,
    "floor": _floor,
    "ceil": _ceiling,
    "sinh": lambda value: atom("sinh", value),
    "cosh": lambda value: atom("cosh", value),
    "tanh": lambda value: atom("tanh", value),
}
INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
