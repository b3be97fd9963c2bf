"""Bounds on the size of answers, and what is raised where one cannot be read.

They keep the caller's process safe: nothing that a text describes is computed before its size is known. An
answer beyond a bound equals only its own text.
"""

MAX_LENGTH = 2_000  # characters of an answer
MAX_DEPTH = 24  # brackets, braces and exponents inside one another
MAX_DIGITS = 1_000  # digits of one numeral
MAX_BITS = 20_000  # of the numerator or denominator of a computed number; 2^{20000} is just too large
MAX_TERMS = 250  # of an expanded polynomial
MAX_ITEMS = 100  # of a list, set or tuple
MAX_EXPANDED_POWER = 16  # of a sum; higher powers stay as they are written
MAX_FACTORIAL = 2_000
MAX_FACTORED = 10**9  # whole numbers under a root are factored by trial division up to here


class UnreadableError(Exception):
    """The text follows no notation of an answer: it equals only its own text."""


class TooLargeError(UnreadableError):
    """A bound is exceeded."""


class UnsupportedError(UnreadableError):
    """Mathematics, but none that is decided here: left to math-verify."""
