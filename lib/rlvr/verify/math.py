r"""Mathematical answers: exact arithmetic decides what it can, math-verify in workers the rest."""

import atexit
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Self

from rlvr.data.problem import Problem
from rlvr.verify.answers.algebra import for_math_verify, has_operation
from rlvr.verify.answers.decide import decide
from rlvr.verify.extraction import Extraction, extract_answer, extraction_order
from rlvr.verify.pool import Outcome, TimeLimitedPool
from rlvr.verify.verdict import Response, Verdict

# Digits to which SymPy evaluates a difference that it cannot simplify.
_PRECISION = 40
_DIGITS = 60
# What slow pairs of one batch may take in all, in time limits per worker. With the last pairs that are begun,
# and workers that start anew, a batch full of hostile answers is then late by about one limit.
_BUDGET_SHARE = 0.3

NO_ANSWER = "no answer found"


def math_verify_comparer() -> Callable[[str, str], bool]:
    """Make the function that compares (answer, gold) by math-verify; it runs in workers only.

    Its own time limits are off: they rest on signals, which do not end C code, and the pool has a hard one.
    """
    import sympy.core.random
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)

    def same(answer: str, gold: str) -> bool:
        """Whether math-verify holds them equal, each read as one formula."""
        # SymPy tests some equalities at random points: the same points for the same pair.
        sympy.core.random.seed(0)
        # In a box every notation is read whole.
        found, expected = (parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in (answer, gold))
        if verify(expected, found, numeric_precision=_PRECISION, timeout_seconds=None):
            return True
        return bool(found and expected) and _same_number(found[0], expected[0])

    return same


def _same_number(left: Any, right: Any) -> bool:
    """Whether expressions without variables agree to many digits.

    math-verify does not ask that where one of them is rational.
    """
    from sympy import Expr

    if not all(isinstance(side, Expr) and not side.free_symbols for side in (left, right)):
        return False
    difference = (left - right).evalf(_DIGITS)
    return bool(difference.is_number and abs(difference) < 10**-_PRECISION)


class MathVerifier:
    """Compares answers; workers start when a pair cannot be decided by exact arithmetic."""

    def __init__(self, workers: int = 1, time_limit_s: float = 10.0) -> None:
        self._pool = TimeLimitedPool(math_verify_comparer, workers, time_limit_s)
        self._budget_s = _BUDGET_SHARE * workers * time_limit_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def compare(self, pairs: Iterable[tuple[str, str]]) -> list[str]:
        """Return right, wrong, error, crashed or time limit for each (answer, gold); equal pairs run once."""
        pairs = list(pairs)
        decided: dict[tuple[str, str], str] = {pair: decide(*pair) for pair in dict.fromkeys(pairs)}
        undecided = [pair for pair, reason in decided.items() if reason == "undecided"]
        questions = {pair: question for pair in undecided if (question := for_math_verify(*pair))}
        asked = list(questions)
        # Integrals and the like last: they alone take long, and then hold up no other pair.
        asked.sort(key=lambda pair: any(map(has_operation, questions[pair])))
        outcomes = self._pool.map([questions[pair] for pair in asked], self._budget_s)
        decided |= dict.fromkeys(undecided, "wrong")
        decided |= {pair: _reason(outcome) for pair, outcome in zip(asked, outcomes, strict=True)}
        return [decided[pair] for pair in pairs]

    def judge(self, responses: Sequence[Response], problems: Sequence[Problem]) -> list[Verdict]:
        """Judge each response against its problem, in order; without an answer no worker is asked."""
        found = [extract_answer(response.text, extraction_order(response.template)) for response in responses]
        pairs = zip(found, problems, strict=True)
        reasons = iter(
            self.compare([(answer.text, problem.answer) for answer, problem in pairs if answer.text])
        )
        return [_verdict(answer, next(reasons) if answer.text else NO_ANSWER) for answer in found]


def _reason(outcome: Outcome) -> str:
    if outcome.status != "done":
        return outcome.status
    return "right" if outcome.value else "wrong"


def _verdict(answer: Extraction, reason: str) -> Verdict:
    return Verdict(float(reason == "right"), bool(answer.text), answer.text, reason, answer.rule)


@cache
def _shared() -> MathVerifier:
    verifier = MathVerifier()
    atexit.register(verifier.close)
    return verifier


def equivalent(answer: str, gold: str) -> bool:
    """Whether two answers (without surrounding text) have the same value; over 10 s counts as no."""
    return _shared().compare([(answer, gold)]) == ["right"]


def verify_batch(responses: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
    """Judge responses with one worker kept for the whole process; `Judge` has more workers and a limit."""
    return _shared().judge([Response(text, finished=True) for text in responses], problems)
