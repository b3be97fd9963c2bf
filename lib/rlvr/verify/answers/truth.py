"""Equality of values in three-valued logic: True, False, or None where exact arithmetic does not tell."""

from collections.abc import Iterable
from fractions import Fraction

from rlvr.verify.answers import polynomial
from rlvr.verify.answers.approximate import surely_differ
from rlvr.verify.answers.limits import TooLargeError
from rlvr.verify.answers.polynomial import Atom
from rlvr.verify.answers.values import Value

Truth = bool | None


def every(truths: Iterable[Truth]) -> Truth:
    """False if one is False, else None if one is None, else True."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def same_value(left: Value, right: Value) -> Truth:
    """Whether two values are the same: by their difference, then, where functions are in it, by numbers."""
    try:
        if left.below == right.below:
            difference = polynomial.add(left.above, polynomial.scale(right.above, Fraction(-1)))
        else:
            difference = polynomial.add(
                polynomial.multiply(left.above, right.below),
                polynomial.scale(polynomial.multiply(right.above, left.below), Fraction(-1)),
            )
    except TooLargeError:
        return False if surely_differ(left, right) else None
    if not difference:
        return True
    parts = (difference, left.below, right.below)
    if not any(isinstance(name, Atom) for part in parts for term in part for name, _ in term):
        return False
    return False if surely_differ(left, right) else None
