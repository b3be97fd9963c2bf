"""Verifiers by name, and the judge that sends each response to its problem's verifier."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, Self

from rlvr.config.verification import VerificationConfig
from rlvr.data.problem import Problem
from rlvr.verify.choice import judge_choice
from rlvr.verify.code import CodeVerifier
from rlvr.verify.completion import judge_completions
from rlvr.verify.exact import judge_exact
from rlvr.verify.math import MathVerifier
from rlvr.verify.prompted import READERS, judge_prompted
from rlvr.verify.sandbox.rungs import isolation
from rlvr.verify.verdict import Response, Verdict

BatchVerifier = Callable[[Sequence[Response], Sequence[Problem]], list[Verdict]]
# Given the number of workers and the limits: a context in which the verifier can be called.
VerifierContext = Callable[[int, VerificationConfig], AbstractContextManager[BatchVerifier]]


def _one_by_one(judge_one: Callable[[Response, Problem], Verdict]) -> VerifierContext:
    @contextmanager
    def context(workers: int, config: VerificationConfig) -> Iterator[BatchVerifier]:
        yield lambda responses, problems: list(map(judge_one, responses, problems))

    return context


@contextmanager
def _math(workers: int, config: VerificationConfig) -> Iterator[BatchVerifier]:
    with MathVerifier(workers, config.time_limit_s) as verifier:
        yield verifier.judge


def _prompted(prompt: str) -> VerifierContext:
    @contextmanager
    def context(workers: int, config: VerificationConfig) -> Iterator[BatchVerifier]:
        with MathVerifier(workers, config.time_limit_s) as verifier:
            yield partial(judge_prompted, prompt, verifier)

    return context


@contextmanager
def _code(workers: int, config: VerificationConfig) -> Iterator[BatchVerifier]:
    with CodeVerifier(workers, config.time_limit_s, config.memory_mb, config.require_isolation) as verifier:
        yield partial(judge_completions, verifier)


VERIFIERS: dict[str, VerifierContext] = {
    "exact": _one_by_one(judge_exact),
    "choice": _one_by_one(judge_choice),
    "math": _math,
    "code": _code,
    **{prompt: _prompted(prompt) for prompt in READERS},
}


def describe_isolation(problems: Iterable[Problem]) -> dict[str, Any] | None:
    """How programs are locked in on this machine, for provenance; None where no problem asks for one."""
    if all(problem.verifier != "code" for problem in problems):
        return None
    return asdict(isolation())


class Judge:
    """A context manager that judges batches; verifiers open when first needed and close with it."""

    def __init__(self, workers: int, config: VerificationConfig) -> None:
        self._workers = workers
        self._config = config
        self._stack = ExitStack()
        self._opened: dict[str, BatchVerifier] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._opened.clear()
        self._stack.close()

    def _verifier(self, problem: Problem) -> BatchVerifier:
        name = problem.verifier
        if name not in VERIFIERS:
            raise ValueError(
                f"task {problem.task}: unknown verifier {name!r}; allowed: {', '.join(VERIFIERS)}"
            )
        if name not in self._opened:
            context = VERIFIERS[name](self._workers, self._config)
            self._opened[name] = self._stack.enter_context(context)
        return self._opened[name]

    def judge(self, responses: Sequence[Response], problems: Sequence[Problem]) -> list[Verdict]:
        """Return the verdict of each response on its problem, in order.

        Never raises on a model's text. Unequal lengths or an unknown verifier raise ValueError.
        """
        if len(responses) != len(problems):
            raise ValueError(f"{len(responses)} responses for {len(problems)} problems")
        verifiers = [self._verifier(problem) for problem in problems]
        verdicts: dict[int, Verdict] = {}
        for verifier in dict.fromkeys(verifiers):
            places = [place for place, own in enumerate(verifiers) if own is verifier]
            judged = verifier([responses[place] for place in places], [problems[place] for place in places])
            verdicts.update(zip(places, judged, strict=True))
        return [verdicts[place] for place in range(len(problems))]
