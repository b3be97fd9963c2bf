"""Multiple choice: the letter, or the choice's own text, that a response settles on."""

import re
from collections.abc import Sequence

from rlvr.data.problem import Problem
from rlvr.data.templates import LETTERS
from rlvr.verify.extraction import RULES, Extraction, extraction_order
from rlvr.verify.verdict import Response, Verdict

_WRAPPERS = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|mathbb|rm|bf)\b\s*|[*_$`{}\"“”]|\\[()\[\]]"
)
# All of a text: "B", "(B)", "B.", "b)". Alone, a small letter counts too: it is no word of a sentence.
_LETTER_ALONE = re.compile(r"\(? ?([A-Za-z])[ ).:]*")
# The beginning of a text: "B because", "(B) Paris", "B. Paris". Capitals only: "a" is also a word.
_LETTER_FIRST = re.compile(r"\(?([A-Z])(?![A-Za-z0-9'’])[).:]*\s*(.*)", re.DOTALL)
# "B or C", "(B), (C)", "B/C": more than one candidate.
_ANOTHER = re.compile(r"(?:or|and|,|/|&)\s*\(?[A-Z](?![A-Za-z0-9'’])")
# In running text only a marked letter counts: a line that begins "B." or "(B)", or "(B)" anywhere.
_MARKED_LINE = re.compile(r"^\s*[*_]*(\(?[A-Z][).](?=[\s*_]|$).*)", re.MULTILINE)
_PARENTHESISED = re.compile(r"\([A-Z]\)")


def _plain(text: str) -> str:
    return " ".join(_WRAPPERS.sub(" ", text).split())


def _folded(text: str) -> str:
    return _plain(text).rstrip(".").casefold()


def _by_text(text: str, choices: Sequence[str]) -> str:
    """The letter of the one choice that has this text, or ""."""
    wanted = _folded(text)
    same = [letter for letter, choice in zip(LETTERS, choices, strict=False) if _folded(choice) == wanted]
    return same[0] if len(same) == 1 and wanted else ""


def _whole(text: str, choices: Sequence[str]) -> str:
    """The letter of a text that is nothing but a letter or a choice's own text."""
    alone = _LETTER_ALONE.fullmatch(_plain(text))
    letter = alone[1].upper() if alone else ""
    known = letter in tuple(LETTERS[: len(choices)])
    return letter if known else _by_text(text, choices) or letter


def read_choice(text: str, choices: Sequence[str]) -> str:
    """Return the letter that a stated answer names, or "".

    A choice's text counts where it is the text of one choice only. A letter with another choice's text behind
    it, and two letters, name none.
    """
    if letter := _whole(text, choices):
        return letter
    first = _LETTER_FIRST.match(_plain(text))
    if not first or _ANOTHER.match(first[2]):
        return ""
    return first[1] if _by_text(first[2], choices) in ("", first[1]) else ""


def _last_line(text: str, choices: Sequence[str]) -> str:
    """The choice that is all of the last line."""
    lines = text.rstrip().splitlines()
    return _whole(lines[-1], choices) if lines else ""


def _marked(text: str, choices: Sequence[str]) -> str:
    """The choice of a text that marks one letter only."""
    for mark in (_MARKED_LINE, _PARENTHESISED):
        letters = {read_choice(found, choices) for found in mark.findall(text)}
        if letters:
            return letters.pop() if len(letters) == 1 else ""
    return ""


def extract_choice(text: str, choices: Sequence[str], template: str = "plain") -> Extraction:
    """Return the letter of the choice that a response states, and the rule that found it.

    What `rlvr.verify.extraction` finds (a box, a tag, "the answer is") is read first, in the template's
    order; then a last line that is nothing but a choice; then, where nothing was stated, the only letter that
    is marked as one. Never raises, whatever the text.
    """
    stated = {rule: RULES[rule](text) for rule in extraction_order(template) if rule != "number"}
    for rule, found in stated.items():
        if letter := read_choice(found, choices):
            return Extraction(letter, rule)
    if letter := _last_line(text, choices):
        return Extraction(letter, "last_line")
    if not any(stated.values()) and (letter := _marked(text, choices)):
        return Extraction(letter, "marked")
    return Extraction("", "")


def judge_choice(response: Response, problem: Problem) -> Verdict:
    """Right if the choice stated is the problem's; a letter of no choice is not well-formed."""
    choices = problem.metadata.get("choices", ())
    found = extract_choice(response.text, choices, response.template)
    allowed = LETTERS[: len(choices)] or LETTERS
    if not found.text or found.text not in allowed:
        return Verdict(0.0, False, found.text, "no choice stated", found.rule)
    right = found.text == problem.answer
    return Verdict(float(right), True, found.text, "right" if right else "wrong", found.rule)
