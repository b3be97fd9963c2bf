import subprocess

import pytest

from rlvr.config.verification import VerificationConfig
from rlvr.data.problem import Problem
from rlvr.verify import VERIFIERS, Judge, Response
from rlvr.verify.exact import judge_exact
from rlvr.verify.registry import describe_isolation

LIMITS = VerificationConfig(time_limit_s=10.0, memory_mb=1024, require_isolation="any")


def problem(verifier, answer, **metadata):
    return Problem("p", "task", "question", answer, verifier, metadata)


@pytest.mark.parametrize(
    ("text", "finished", "reward", "reason"),
    [
        ("155", True, 1.0, "right"),
        ("155", False, 0.0, "not finished"),
        ("155 ", True, 0.0, "wrong"),
        ("0155", True, 0.0, "wrong"),
        ("", True, 0.0, "wrong"),
    ],
)
def test_exact(text, finished, reward, reason):
    verdict = judge_exact(Response(text, finished), problem("exact", "155"))
    assert (verdict.reward, verdict.reason, verdict.answer) == (reward, reason, text)
    assert verdict.format_ok == finished


def test_judge_keeps_order_over_verifiers():
    cases = [
        ("math", "0.5", r"\boxed{\frac12}", 1.0),
        ("exact", "12", "12", 1.0),
        ("choice", "A", "The answer is A", 1.0),
        ("math", "0.5", r"\boxed{3}", 0.0),
        ("exact", "12", "21", 0.0),
        ("math", "4", "so it is 4", 1.0),
    ]
    problems = [problem(verifier, answer) for verifier, answer, _, _ in cases]
    responses = [Response(text, True) for _, _, text, _ in cases]
    with Judge(1, LIMITS) as judge:
        verdicts = judge.judge(responses, problems)
        assert judge.judge([], []) == []
    assert [v.reward for v in verdicts] == [reward for *_, reward in cases]
    assert [v.answer for v in verdicts] == [r"\frac12", "12", "A", "3", "21", "4"]


def test_judge_ends_its_workers(monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with Judge(2, LIMITS) as judge:
        judge.judge([Response(r"\boxed{\sin^2 x + \cos^2 x}", True)], [problem("math", r"2 - \tan x \cot x")])
        assert [process.poll() for process in started] == [None]
    assert [process.poll() for process in started] == [-9]


def test_unknown_verifier_names_the_task_and_what_is_allowed():
    with (
        Judge(1, LIMITS) as judge,
        pytest.raises(ValueError, match=rf"task task.*'oracle'.*{', '.join(VERIFIERS)}"),
    ):
        judge.judge([Response("x", True)], [problem("oracle", "x")])
    assert set(VERIFIERS) == {"exact", "choice", "math", "code", "r1_zero", "question_only"}


def test_lengths_must_agree():
    with (
        Judge(1, LIMITS) as judge,
        pytest.raises(ValueError, match="1 responses for 0 problems"),
    ):
        judge.judge([Response("x", True)], [])


def test_isolation_is_described_where_programs_run():
    assert describe_isolation([problem("math", "1"), problem("exact", "x")]) is None
    described = describe_isolation([problem("exact", "x"), problem("code", "x")])
    assert described["rung"] in ("bubblewrap", "namespaces", "landlock", "uid", "rlimits")
    assert described["strong"] == (described["rung"] in ("bubblewrap", "namespaces", "landlock"))
