"""Sums of products of powers, with exact coefficients: the arithmetic under all values.

A term is a set of (generator, exponent). Generators are prime numbers (exponents between 0 and 1: roots),
"i", "pi", "e", variables and `Atom`s (functions that are kept as they are). Prime roots, pi and variables
satisfy no relation besides those applied here (p^(1/2) squared is p, i squared is -1), so two sums without
atoms are equal exactly if their terms are.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from rlvr.verify.answers.limits import MAX_BITS, MAX_TERMS, TooLargeError

Generator = Any  # int, str or Atom
Term = frozenset[tuple[Generator, Fraction | int]]
Polynomial = dict[Term, Fraction]

UNIT: Term = frozenset()
ZERO: Polynomial = {}
ONE: Polynomial = {UNIT: Fraction(1)}


@dataclass(frozen=True)
class Atom:
    """A function of arguments that has no simpler form: `Atom("sin", (argument,))`."""

    name: str
    arguments: tuple[Any, ...]


def check_size(number: Fraction) -> Fraction:
    """Return the number, or raise TooLargeError."""
    if number.numerator.bit_length() > MAX_BITS or number.denominator.bit_length() > MAX_BITS:
        raise TooLargeError("a number has too many digits")
    return number


def constant(number: Fraction | int) -> Polynomial:
    """A number as a polynomial."""
    return {UNIT: Fraction(number)} if number else {}


def generator(name: Generator, exponent: Fraction | int = 1) -> Polynomial:
    """One generator to a power."""
    return {frozenset(((name, exponent),)): Fraction(1)}


def bounded_power(base: Fraction, exponent: int) -> Fraction:
    """`base ** exponent`, refused before it is computed where it is too large."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (0, 1, -1) and (bits - 1) * abs(exponent) > MAX_BITS:
        raise TooLargeError("a power has too many digits")
    if base in (1, -1):
        exponent %= 2
    return check_size(base**exponent)


def join(exponents: dict[Generator, Fraction | int]) -> tuple[Fraction, Term]:
    """Bring a product of generators into its normal form: (coefficient, term)."""
    coefficient = Fraction(1)
    kept = []
    for name, exponent in exponents.items():
        rest = exponent
        if name == "i":
            turns = int(exponent) % 4
            coefficient *= -1 if turns >= 2 else 1
            rest = turns % 2
        elif isinstance(name, int):
            whole = floor(exponent)
            coefficient *= bounded_power(Fraction(name), whole)
            rest = exponent - whole
        if rest:
            kept.append((name, rest))
    return coefficient, frozenset(kept)


def times(left: Term, right: Term) -> tuple[Fraction, Term]:
    """The product of two terms: (coefficient, term)."""
    if not left:
        return Fraction(1), right
    if not right:
        return Fraction(1), left
    exponents = dict(left)
    for name, exponent in right:
        exponents[name] = exponents.get(name, 0) + exponent
    return join(exponents)


def add(left: Polynomial, right: Polynomial) -> Polynomial:
    """The sum."""
    total = dict(left)
    for term, number in right.items():
        new = check_size(total.get(term, 0) + number)
        if new:
            total[term] = new
        else:
            total.pop(term, None)
    if len(total) > MAX_TERMS:
        raise TooLargeError("too many terms")
    return total


def scale(polynomial: Polynomial, number: Fraction) -> Polynomial:
    """The product with a number."""
    return {term: check_size(value * number) for term, value in polynomial.items()} if number else {}


def multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    """The product, expanded."""
    if len(left) * len(right) > MAX_TERMS * 16:
        raise TooLargeError("too many terms")
    total: Polynomial = {}
    for left_term, left_number in left.items():
        for right_term, right_number in right.items():
            coefficient, term = times(left_term, right_term)
            new = check_size(total.get(term, 0) + coefficient * left_number * right_number)
            if new:
                total[term] = new
            else:
                total.pop(term, None)
    if len(total) > MAX_TERMS:
        raise TooLargeError("too many terms")
    return total


def ratio(left: Polynomial, right: Polynomial) -> Fraction | None:
    """The number c with left = c * right, or None if there is none (right is not zero)."""
    if left.keys() != right.keys():
        return None
    term = next(iter(right))
    number = left[term] / right[term]
    return number if all(left[t] == number * right[t] for t in right) else None
