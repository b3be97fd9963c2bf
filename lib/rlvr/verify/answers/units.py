"""Units behind a number: which words are units, and when two units are the same."""

import re
from dataclasses import dataclass
from fractions import Fraction

from rlvr.verify.answers.vocabulary import (
    COMPOUND_UNITS,
    MEASURES,
    NEVER_UNITS,
    ORDINALS,
    TEMPERATURES,
    THINGS,
)

_SCALES = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
_FACTORS = {"percent": Fraction(1, 100), "pct": Fraction(1, 100), "percentage": Fraction(1, 100)}
_EXPONENTS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
# What a missing unit means anyway.
_EMPTY = {"unit", "units", "of", "the", "a", "an"}
_LONGEST = 8  # words of a unit
_WORD = re.compile(r"[^\W\d_]+|\^\{?-?\d+\}?|/|\$|€|£|¥|₹|°|¢|[^\s\w]|\d+")


@dataclass(frozen=True)
class Unit:
    """Units with their exponents, or the words of what is counted."""

    powers: frozenset[tuple[str, Fraction | int]] = frozenset()
    nouns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Suffix:
    """What words behind a number mean: a factor, and a unit if there is one."""

    factor: Fraction = Fraction(1)
    unit: Unit | None = None


def same_unit(left: Unit | None, right: Unit | None) -> bool:
    """Whether two units may stand for the same: equal, or one missing, or things that share a word."""
    if left is None or right is None or left == right:
        return True
    if left.powers or right.powers:
        return left.powers == right.powers
    return bool(left.nouns & right.nouns)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _noun(word: str, formatted: bool) -> str | None:
    """The stem of a word for things that are counted, or None."""
    known = formatted or word.endswith("s") or word in THINGS
    return _stem(word) if known and len(word) > 2 and word not in _SCALES else None


class _Reader:
    """Reads the words behind a number."""

    def __init__(self, formatted: bool) -> None:
        self._formatted = formatted
        self._factor = Fraction(1)
        self._powers: dict[str, int] = {}
        self._nouns: set[str] = set()
        self._sign = 1
        self._next_power = 1
        self._last = ""
        self._generic = False  # "units"

    def read(self, words: list[str]) -> Suffix | None:
        """Return what the words mean, or None if they are no unit."""
        for place, word in enumerate(words):
            if word in _SCALES and all(before in "$£€¥₹" for before in words[:place]):
                self._factor *= _SCALES[word]
            elif not self._word(word):
                return None
        unit = Unit(frozenset((n, p) for n, p in self._powers.items() if p), frozenset(self._nouns))
        return Suffix(self._factor, unit if unit.powers or unit.nouns else None)

    def _word(self, word: str) -> bool:
        if word in ORDINALS:
            self._generic = True
        elif word in ("/", "per"):
            self._sign = -1
        elif word in _FACTORS and not self._last:
            self._factor *= _FACTORS[word]
        elif word.startswith("^"):
            return self._raise(int(word.strip("^{}"))) or self._generic
        elif word in ("squared", "cubed"):
            return self._raise(_EXPONENTS[word])
        elif word in ("square", "sq", "cubic", "cu"):
            self._next_power = _EXPONENTS[word]
        elif word in COMPOUND_UNITS:
            return all(self._word(part) for part in COMPOUND_UNITS[word].split())
        elif word in MEASURES:
            self._measure(MEASURES[word])
        elif word in _EMPTY:
            self._generic = True
        elif word not in (".", "-", "*", "'"):
            return self._thing(word)
        return True

    def _measure(self, name: str) -> None:
        self._powers[name] = self._powers.get(name, 0) + self._sign * self._next_power
        self._last, self._next_power = name, 1

    def _raise(self, power: int) -> bool:
        if not self._last or abs(power) > 9:
            return False
        self._powers[self._last] += (power - 1) * (1 if self._powers[self._last] > 0 else -1)
        return True

    def _thing(self, word: str) -> bool:
        noun = _noun(word, self._formatted)
        if noun is None:
            return False
        self._nouns.add(noun)
        return True


def read_suffix(text: str, formatted: bool) -> Suffix | None:
    r"""Read the words behind a number; `formatted`: they stand in `\text{}`, where any noun is taken.

    None means that they are no unit: a remark, a condition, a second number.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    if words[:1] and words[0] in ("°", "degree", "degrees") and "".join(words[1:]) in TEMPERATURES:
        words = [TEMPERATURES["".join(words[1:])]]
    if not words or len(words) > _LONGEST or any(word.isdigit() for word in words):
        return None
    if NEVER_UNITS.intersection(words):
        return None
    return _Reader(formatted).read(words)
