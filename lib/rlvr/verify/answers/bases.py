r"""Numerals with a base: `101_2`, `101_{\text{two}}`, "101 base 2"."""

import re
from fractions import Fraction

from rlvr.verify.answers.answer import Based
from rlvr.verify.answers.limits import MAX_DIGITS, TooLargeError, UnreadableError

_WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_NAMES = {word: number for number, word in enumerate(_WORDS)} | {
    "binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16, "hex": 16, "bin": 2, "twenty": 20,
}  # fmt: skip
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SUBSCRIPTED = re.compile(
    r"(?P<sign>-?)\s*(?:\\(?:text|mathrm)\{|\()?(?P<digits>[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?|\.[0-9]+)[})]?\s*_\s*(?P<base>.+)", re.DOTALL
)
_WORDED = re.compile(
    r"(?P<sign>-?)\s*(?P<digits>[0-9][0-9A-Za-z]*(?:\.[0-9A-Za-z]+)?)(?:\s|\\ |\\,|~)*(?:\\(?:text|mathrm|mbox)\{\s*)?\(?(?:in )?\s*base"
    r"(?:\s|\}|\\ |~|-)*(?P<base>[^)]+)\)?",
    re.DOTALL | re.IGNORECASE,
)  # fmt: skip
_BASE = re.compile(r"[\s{}()]|\\(?:text|mathrm|mbox|textrm|rm)(?![a-z])|\\[ ,;!]|base", re.IGNORECASE)


def read(text: str) -> Based | None:
    """The numeral, or None if the text is none; digits that the base does not have raise UnreadableError."""
    if "_" not in text and "base" not in text.lower():
        return None
    match = _SUBSCRIPTED.fullmatch(text) or _WORDED.fullmatch(text)
    if not match or not (match["digits"][0] in "0123456789." or (len(match["digits"]) > 1 and match["digits"].isupper())):
        return None
    name = _BASE.sub("", match["base"]).lower()
    base = _NAMES.get(name) or (int(name) if name.isdecimal() and len(name) < 4 else None)
    if base is None or not 2 <= base <= len(_DIGITS):
        raise UnreadableError("a base")
    return Based(_value(match["digits"].upper(), base) * (-1 if match["sign"] else 1), base)


def _value(digits: str, base: int) -> Fraction:
    if len(digits) > MAX_DIGITS:
        raise TooLargeError("a numeral has too many digits")
    whole, _, part = digits.partition(".")
    value = Fraction(0)
    for digit in whole + part:
        number = _DIGITS.find(digit)
        if not 0 <= number < base:
            raise UnreadableError("a digit beyond its base")
        value = value * base + number
    return value / base ** len(part)
