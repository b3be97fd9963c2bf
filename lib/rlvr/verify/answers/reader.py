r"""Answers from text: words, times of day, numerals with a base, and everything that is parsed."""

import re

from rlvr.verify.answers import bases
from rlvr.verify.answers.answer import Answer, Clock, Words
from rlvr.verify.answers.limits import UnreadableError
from rlvr.verify.answers.statements import AnswerParser
from rlvr.verify.answers.tokens import Lexer
from rlvr.verify.answers.vocabulary import SHORT_WORDS, SYNONYMS

_PROSE = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*(?:[\s,]+[^\W\d_]+(?:['’-][^\W\d_]+)*)*")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?(?::(\d\d))?\s*([ap])\.?\s*m\.?|(\d{1,2}):(0\d)", re.IGNORECASE)
_LAYOUT = re.compile(r"\\(?:text|mbox|mathrm)(?![a-z])|\\[!,; ]|[{}~]")
_LETTER = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\]:.]*")
_BRACKETED_WORDS = re.compile(r"\(\s*([^\W\d_]{2,})\s*\)")


def read_answer(text: str) -> Answer:
    """Read a cleaned text. Raises UnreadableError or, where math-verify may know more, UnsupportedError."""
    if words := _words(text):
        return words
    if letter := _LETTER.fullmatch(text):
        text = letter[1]
    if (":" in text or text.rstrip("}. ")[-1:] in ("m", "M")) and (clock := _clock(text)):
        return clock
    if (based := bases.read(text)) is not None:
        return based
    tokens = Lexer(SYNONYMS.get(text.lower(), text)).run()
    if not tokens:
        raise UnreadableError("empty")
    return AnswerParser(tokens).answer()


def _clock(text: str) -> Clock | None:
    """A time of day: "4:30 p.m.", "05:00"; "4:30" alone is a ratio."""
    clock = _CLOCK.fullmatch(_LAYOUT.sub("", text).strip())
    if not clock:
        return None
    hour, minute, second, half, hour24, minute24 = clock.groups()
    return Clock(int(hour or hour24), int(minute or minute24 or 0), int(second or 0), (half or "").lower())


def _words(text: str) -> Words | None:
    """Words if the text is nothing else and could not be a product of variables."""
    bracketed = _BRACKETED_WORDS.fullmatch(text)
    if bracketed and (len(bracketed[1]) > 3 or bracketed[1].lower() in SHORT_WORDS):
        text = bracketed[1]
    if not _PROSE.fullmatch(text) or text.lower() in SYNONYMS:
        return None
    parts = re.split(r"[\s,]+", text)
    if max(map(len, parts)) <= 3 and not (len(parts) == 1 and len(text) > 1 and text.lower() in SHORT_WORDS):
        return None
    return Words(" ".join(text.lower().replace(",", " ").split()))
