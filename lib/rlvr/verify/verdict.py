"""What a verifier says about one response."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """`reward` is 1.0 for a right answer, else 0.0; `answer` is the text that was extracted ("" if none)."""

    reward: float
    format_ok: bool
    answer: str
    reason: str
