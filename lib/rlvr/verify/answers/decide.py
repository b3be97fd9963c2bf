"""The verdict on a pair of texts, as far as it is certain without computer algebra."""

import re
from typing import Literal

from rlvr.verify.answers.answer import Answer
from rlvr.verify.answers.compare import equal
from rlvr.verify.answers.limits import MAX_LENGTH, UnreadableError, UnsupportedError
from rlvr.verify.answers.notation import cleaned
from rlvr.verify.answers.reader import read_answer
from rlvr.verify.answers.tokens import Lexer

Decision = Literal["right", "wrong", "undecided"]
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_WORDS = re.compile(r"[\w\s,.'’-]*[^\W\d_]{2}[\w\s,.'’-]*")


def decide(answer: str, gold: str) -> Decision:
    """Say right or wrong where that is certain; never raises, and takes milliseconds at most."""
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(gold):
        return "right" if int(answer) == int(gold) else "wrong"
    if len(answer) > MAX_LENGTH or len(gold) > MAX_LENGTH:
        return "right" if answer.strip() == gold.strip() else "wrong"
    answer, gold = cleaned(answer), cleaned(gold)
    if not answer or not gold:
        return "wrong"
    if answer == gold:
        return "right"
    return _decide_cleaned(answer, gold)


def _decide_cleaned(answer: str, gold: str) -> Decision:
    read: list[Answer] = []
    unsupported = False
    for text in (gold, answer):
        try:
            read.append(read_answer(text))
        except UnsupportedError:
            unsupported = True
        except UnreadableError:
            return "right" if _same_words(answer, gold) or _same_tokens(answer, gold) else "wrong"
    if unsupported:
        return "right" if _same_tokens(answer, gold) else "undecided"
    try:
        truth = equal(read[1], read[0])
    except UnreadableError:
        return "wrong"
    return "undecided" if truth is None else "right" if truth else "wrong"


def _same_words(answer: str, gold: str) -> bool:
    """Whether texts that hold words are the same but for case, spacing and punctuation."""
    if not _WORDS.fullmatch(answer) or not _WORDS.fullmatch(gold):
        return False
    return _folded(answer) == _folded(gold)


def _same_tokens(answer: str, gold: str) -> bool:
    """Whether texts differ in layout alone."""
    try:
        left, right = ([(t.kind, t.text) for t in Lexer(text).run()] for text in (answer, gold))
    except UnreadableError:
        return False
    return left == right


def _folded(text: str) -> list[str]:
    return [word.strip(".,'’") for word in text.lower().split()]
