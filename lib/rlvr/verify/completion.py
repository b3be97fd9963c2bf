"""Programs: a prompt that begins one, and a response that goes on with it (HumanEval, arXiv:2107.03374)."""

from collections.abc import Sequence

from rlvr.data.problem import Problem
from rlvr.errors import UserError
from rlvr.verify.code import CodeVerdict, CodeVerifier
from rlvr.verify.verdict import Response, Verdict


def _tests(problem: Problem) -> tuple[str, str]:
    if missing := {"tests", "entry_point"} - set(problem.metadata):
        raise UserError(
            f"problem {problem.id} has no {' and no '.join(sorted(missing))}, which verifier code needs; "
            "name tests_field and entry_point_field of its source"
        )
    return problem.metadata["tests"], problem.metadata["entry_point"]


def _verdict(completion: str, found: CodeVerdict) -> Verdict:
    reason = f"{found.status}: {found.detail}" if found.detail else found.status
    return Verdict(float(found.passed), found.status != "error", completion, reason)


def judge_completions(
    verifier: CodeVerifier, responses: Sequence[Response], problems: Sequence[Problem]
) -> list[Verdict]:
    """Run each prompt with its response behind it against the problem's tests, in a sandbox.

    `metadata` of a problem has the `tests` and the `entry_point`; UserError where it has not. A completion
    that was cut by the length limit is run as it is. A program is well-formed if its status is not error.
    """
    cases = [
        (problem.prompt + response.text, *_tests(problem))
        for response, problem in zip(responses, problems, strict=True)
    ]
    verdicts = verifier.run(cases)
    return [_verdict(response.text, found) for response, found in zip(responses, verdicts, strict=True)]
