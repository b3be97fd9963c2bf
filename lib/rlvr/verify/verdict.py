"""What a verifier reads and what it says about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """A policy's text; `finished`: it ended by end-of-sequence or a stop string, not by the length limit.

    `template` names the prompt template that it answers: where an answer is looked for depends on it.
    """

    text: str
    finished: bool
    template: str = "plain"


@dataclass(frozen=True)
class Verdict:
    """`reward` is 1.0 for a right answer, else 0.0.

    `answer` is the text that was extracted and `rule` what found it ("" if nothing was or nothing had to be).
    """

    reward: float
    format_ok: bool
    answer: str
    reason: str
    rule: str = ""
