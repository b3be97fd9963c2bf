"""Multiple choice: the letter that a response settles on."""

import re

from rlvr.data.problem import Problem
from rlvr.data.templates import LETTERS
from rlvr.verify.verdict import Response, Verdict

# "The answer is (B)", "Answer: **C**", \boxed{D}, \boxed{\text{D}}. Letters are capitals: "a" is also a word.
_STATED = re.compile(
    r"\b[Aa]nswer(?:\s+is\b\s*:?|\s*:)[\s*$]*(?:\\boxed\s*\{\s*)?(?:\\text\s*\{\s*)?\(?([A-Z])(?![A-Za-z0-9'’])"
    r"|\\boxed\s*\{\s*(?:\\text\s*\{\s*)?\(?([A-Z])\)?[.\s]*\}"
)
# A response that is nothing but a letter: "B", "(B)", "B."
_BARE = re.compile(r"\s*\(?([A-Z])\)?[.\s]*")


def extract_choice(text: str) -> str:
    """Return the letter stated last, or the letter that is all of the text, or "" if there is neither."""
    letter = ""
    for found in _STATED.finditer(text):
        letter = found[1] or found[2]
    if not letter and (bare := _BARE.fullmatch(text)):
        letter = bare[1]
    return letter


def judge_choice(response: Response, problem: Problem) -> Verdict:
    """Right if the letter stated last is the problem's; a letter of no choice is not well-formed."""
    letter = extract_choice(response.text)
    allowed = LETTERS[: len(problem.metadata.get("choices", LETTERS))]
    if not letter or letter not in allowed:
        return Verdict(0.0, False, letter, "no letter of a choice stated")
    right = letter == problem.answer
    return Verdict(float(right), True, letter, "right" if right else "wrong")
