"""Equality of problems up to spelling: duplicates in a set, and overlap between sets."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlvr.data.problem import Problem

# Punctuation that changes what a formula says: 5-3, 5/3, 5*3, 5! and 5% are different questions.
ARITHMETIC_MARKS = frozenset("-/*!%")


def _is_noise(character: str) -> bool:
    # `$` only delimits formulas; other symbols (+, =, <, ^) are not of a punctuation category.
    return character == "$" or (
        unicodedata.category(character).startswith("P") and character not in ARITHMETIC_MARKS
    )


_SEPARATOR_IN_NUMBER = re.compile(r"(?<=[0-9])([.,])(?=[0-9])")
_NEEDLESS_SPACE = re.compile(r"(?<!\w)\s+|\s+(?!\w)")


def normalised(text: str) -> str:
    """Fold what does not change a question: Unicode forms (NFKC), case, white space and punctuation.

    Arithmetic marks and separators within numbers stay. Two texts overlap when this is equal. A text of
    nothing but punctuation stays as it is.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    # "." and "," between digits are protected by private-use characters, which are no punctuation.
    folded = _SEPARATOR_IN_NUMBER.sub(lambda found: chr(0xE000 + ord(found[1])), folded)
    noise = {ord(character): " " for character in set(folded) if _is_noise(character)}
    spaced = re.sub(r"\s+", " ", folded.translate(noise))
    return _NEEDLESS_SPACE.sub("", spaced) or text


def duplicate_key(problem: Problem) -> tuple[str, ...]:
    """What two problems share when they ask the same question, over the same choices if there are any."""
    return tuple(normalised(part) for part in (problem.prompt, *problem.metadata.get("choices", ())))


@dataclass(frozen=True)
class Deduplicated:
    """`duplicates`: later copies with the same answer; `conflicts`: all copies where answers disagree."""

    problems: list[Problem]
    duplicates: int
    conflicts: int


def drop_duplicates(problems: Iterable[Problem]) -> Deduplicated:
    """Keep the first of equal problems, in order; of copies whose answers disagree keep none.

    Which of the disagreeing answers is right cannot be known here, and a wrong one would reward errors.
    """
    copies: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        copies.setdefault(duplicate_key(problem), []).append(problem)
    kept, duplicates, conflicts = [], 0, 0
    for group in copies.values():
        if len({normalised(problem.answer) for problem in group}) > 1:
            conflicts += len(group)
        else:
            kept.append(group[0])
            duplicates += len(group) - 1
    return Deduplicated(kept, duplicates, conflicts)


def drop_overlap(
    problems: Sequence[Problem], others: Iterable[Problem]
) -> tuple[list[Problem], dict[str, int]]:
    """Drop the problems whose question is among `others`, choices or not; count them by the other's task.

    A problem that overlaps several tasks is counted for the first. Tasks without overlap are counted as 0.
    """
    tasks: dict[str, str] = {}
    counts: dict[str, int] = {}
    for other in others:
        tasks.setdefault(normalised(other.prompt), other.task)
        counts.setdefault(other.task, 0)
    kept = []
    for problem in problems:
        task = tasks.get(normalised(problem.prompt))
        if task is None:
            kept.append(problem)
        else:
            counts[task] += 1
    return kept, counts
