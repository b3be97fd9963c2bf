"""Values of expressions: quotients of polynomials, with powers and roots."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Self

from rlvr.verify.answers import polynomial
from rlvr.verify.answers.limits import (
    MAX_EXPANDED_POWER,
    MAX_FACTORED,
    TooLargeError,
    UnreadableError,
)
from rlvr.verify.answers.polynomial import ONE, UNIT, Atom, Polynomial, Term

Terms = frozenset[tuple[Term, Fraction]]
Key = tuple[Terms, Terms]


@dataclass(frozen=True, eq=False)
class Value:
    """The quotient of two polynomials; `above / 1` wherever the denominator is a single term."""

    above: Polynomial
    below: Polynomial

    @classmethod
    def number(cls, number: Fraction | int) -> Self:
        """A rational number."""
        return cls(polynomial.constant(number), ONE)

    @classmethod
    def generator(cls, name: polynomial.Generator, exponent: Fraction | int = 1) -> Self:
        """A variable, a constant, a prime root or an atom, to a power."""
        return cls(polynomial.generator(name, exponent), ONE)

    def __add__(self, other: "Value") -> "Value":
        if self.below == other.below:
            return quotient(polynomial.add(self.above, other.above), self.below)
        left = polynomial.multiply(self.above, other.below)
        right = polynomial.multiply(other.above, self.below)
        return quotient(polynomial.add(left, right), polynomial.multiply(self.below, other.below))

    def __neg__(self) -> "Value":
        return Value(polynomial.scale(self.above, Fraction(-1)), self.below)

    def __sub__(self, other: "Value") -> "Value":
        return self + -other

    def __mul__(self, other: "Value") -> "Value":
        below = self.below
        if below is not ONE or other.below is not ONE:
            below = polynomial.multiply(self.below, other.below)
        return quotient(polynomial.multiply(self.above, other.above), below)

    def __truediv__(self, other: "Value") -> "Value":
        if not other.above:
            raise UnreadableError("division by zero")
        return self * quotient(other.below, other.above)

    @property
    def rational(self) -> Fraction | None:
        """The number, if it is a rational one."""
        if self.below != ONE or len(self.above) > 1:
            return None
        return self.above.get(UNIT, None if self.above else Fraction(0))

    @property
    def single(self) -> tuple[Fraction, Term] | None:
        """(coefficient, term) if there is one term and no denominator."""
        if self.below != ONE or len(self.above) != 1:
            return None
        ((term, number),) = self.above.items()
        return number, term

    @property
    def key(self) -> Key:
        """A hashable form; equal values mostly, but not always, share it."""
        first = next(iter(self.below.values()))
        parts = (
            (self.above, self.below)
            if first == 1
            else (
                polynomial.scale(self.above, 1 / first),
                polynomial.scale(self.below, 1 / first),
            )
        )
        return frozenset(parts[0].items()), frozenset(parts[1].items())

    def generators(self) -> Iterator[polynomial.Generator]:
        """All generators of all terms, those inside atoms too."""
        for part in (self.above, self.below):
            for term in part:
                for name, _ in term:
                    yield name
                    if isinstance(name, Atom):
                        for argument in name.arguments:
                            yield from from_key(argument).generators()


def from_key(key: Key) -> Value:
    """The value of a key."""
    return Value(dict(key[0]), dict(key[1]))


def quotient(above: Polynomial, below: Polynomial) -> Value:
    """`above / below`, divided out where that needs no algorithm."""
    if not above or below == ONE:
        return Value(above, ONE)
    if len(below) == 1:
        ((term, number),) = below.items()
        factor, inverse = polynomial.join({name: -exponent for name, exponent in term})
        return Value(polynomial.multiply(above, {inverse: factor / number}), ONE)
    if (share := polynomial.ratio(above, below)) is not None:
        return Value.number(share)
    return Value(above, below)


def atom(name: str, *arguments: Value) -> Value:
    """A function that is kept as it is."""
    return Value.generator(Atom(name, tuple(argument.key for argument in arguments)))


def factored(number: int) -> dict[int, int]:
    """Prime factors of a positive whole number with their exponents."""
    factors: dict[int, int] = {}
    divisor = 2
    while divisor * divisor <= number:
        if divisor > 1000 and number > MAX_FACTORED:
            root = isqrt(number)
            if root * root != number or root > MAX_FACTORED:
                raise TooLargeError("a root of too large a number")
            return factors | {prime: 2 * exponent for prime, exponent in factored(root).items()}
        while number % divisor == 0:
            factors[divisor] = factors.get(divisor, 0) + 1
            number //= divisor
        divisor += 1 if divisor == 2 else 2
    if number > 1:
        factors[number] = factors.get(number, 0) + 1
    return factors


def prime_exponents(number: Fraction) -> dict[int, int]:
    """Prime factors of a positive fraction; those of the denominator have negative exponents."""
    exponents = factored(number.numerator)
    for prime, exponent in factored(number.denominator).items():
        exponents[prime] = exponents.get(prime, 0) - exponent
    return exponents


def power(base: Value, exponent: Value) -> Value:
    """`base ^ exponent`: computed if the exponent is a whole number or the base one term, else kept."""
    number = exponent.rational
    if number is None:
        return _symbolic_power(base, exponent)
    if number.denominator == 1:
        return whole_power(base, number.numerator)
    return fractional_power(base, number)


def whole_power(base: Value, exponent: int) -> Value:
    """A power with a whole exponent."""
    if exponent < 0:
        return Value.number(1) / whole_power(base, -exponent)
    if not base.above and not exponent:
        raise UnreadableError("0^0")
    if (single := base.single) is not None:
        number, term = single
        factor, joined = polynomial.join({name: power * exponent for name, power in term})
        return Value({joined: factor * polynomial.bounded_power(number, exponent)}, ONE)
    if exponent > MAX_EXPANDED_POWER and len(base.above) + len(base.below) > 2:
        return Value.generator(Atom("sum", (base.key,)), exponent)
    result = Value.number(1)
    for _ in range(exponent if base.above else 1):
        result *= base
    return result


def fractional_power(base: Value, exponent: Fraction) -> Value:
    """A root or a power of a root: real roots of numbers, roots of products factor by factor."""
    if not base.above:
        if exponent < 0:
            raise UnreadableError("division by zero")
        return base
    single = base.single
    if single is None or not all(_has_root(*factor, exponent) for factor in single[1]):
        return Value.generator(Atom("sum", (base.key,)), exponent)
    number, term = single
    sign = Value.number(1)
    if number < 0:
        if exponent.denominator % 2:
            sign = Value.number((-1) ** exponent.numerator)
        elif exponent.denominator == 2:
            sign = whole_power(Value.generator("i"), exponent.numerator)
        else:
            return Value.generator(Atom("sum", (base.key,)), exponent)
    exponents: dict[polynomial.Generator, Fraction | int] = {
        prime: power * exponent for prime, power in prime_exponents(abs(number)).items()
    }
    for name, own in term:
        exponents[name] = exponents.get(name, 0) + own * exponent
    factor, joined = polynomial.join(exponents)
    return sign * Value({joined: factor}, ONE)


def _has_root(name: polynomial.Generator, own: Fraction | int, exponent: Fraction) -> bool:
    """Whether (name^own)^exponent is name^(own exponent); the root of x^2 is |x|, that of i is not simple."""
    if name == "i":
        return False
    if isinstance(name, int) or name in ("pi", "e"):
        return True
    even_root_of_even_power = exponent.denominator % 2 == 0 and Fraction(own) % 2 == 0
    return not even_root_of_even_power or (own * exponent) % 2 == 0


def _symbolic_power(base: Value, exponent: Value) -> Value:
    """b^(c m + d n + ...) as the product of (b^m)^c, (b^n)^d, ...: 2^(n+1) is 2 * 2^n."""
    single = base.single
    if single is None or single[0] <= 0 or exponent.below != ONE:
        return atom("power", base, exponent)
    number, term = single
    factors: dict[polynomial.Generator, Fraction | int] = dict(prime_exponents(number))
    for name, own in term:
        if name != "e":
            return atom("power", base, exponent)
        factors[name] = own
    result = Value.number(1)
    for term, number in exponent.above.items():
        for name, own in factors.items():
            if term == UNIT:
                result *= power(
                    Value.generator(name) if name == "e" else Value.number(name), Value.number(number * own)
                )
            else:
                part = Value({term: Fraction(1)}, ONE)
                key = Atom(
                    "power", (Value.generator(name).key if name == "e" else Value.number(name).key, part.key)
                )
                result *= Value.generator(key, number * own)
    return result
