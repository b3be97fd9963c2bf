r"""Numerals with a base: `101_2`, `101_{\text{two}}`, "101 base 2"."""

import re
from fractions import Fraction

from rlvr.verify.answers.answer import Based
from rlvr.verify.answers.limits import MAX_DIGITS, TooLargeError, UnreadableError
from rlvr.verify.answers.vocabulary import NUMBER_WORDS

_NAMES = {word: number for number, word in enumerate(NUMBER_WORDS)} | {
    "binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16, "hex": 16, "bin": 2, "twenty": 20,
}  # fmt: skip
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPACE = r"(?:\s|\\ |\\,|~|-)*"
_TEXT = r"(?:\\(?:text|mathrm|mbox)\{\s*)?"
_NUMERAL = r"[0-9][0-9A-Za-z]*(?:\.[0-9A-Za-z]+)?"
_SUBSCRIPTED = re.compile(
    rf"(?P<sign>-?)\s*(?:{_TEXT}|\()(?P<digits>[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?|\.[0-9]+)[}})]?\s*_\s*(?P<base>.+)",
    re.DOTALL,
)
_WORDED = re.compile(
    rf"(?P<sign>-?)\s*(?P<digits>{_NUMERAL}){_SPACE}{_TEXT}\(?(?:in )?\s*base\}}?{_SPACE}"
    r"(?P<base>[^)]+)\)?",
    re.DOTALL | re.IGNORECASE,
)
_UPRIGHT = re.compile(r"\\(?:text|mathrm|mbox|textrm)\{\s*([0-9A-Z]+)\s*\}(?=.*_)", re.DOTALL)
_BASE = re.compile(r"[\s{}()]|\\(?:text|mathrm|mbox|textrm|rm)(?![a-z])|\\[ ,;!]|base", re.IGNORECASE)


def read(text: str) -> Based | None:
    """The numeral, or None if the text is none; digits that the base does not have raise UnreadableError."""
    if "_" not in text and "base" not in text.lower():
        return None
    text = _UPRIGHT.sub(r"\1", text)  # digits beyond 9: 152\text{A}_{11}
    match = _SUBSCRIPTED.fullmatch(text) or _WORDED.fullmatch(text)
    if not match or not (
        match["digits"][0] in "0123456789." or (len(match["digits"]) > 1 and match["digits"].isupper())
    ):
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
