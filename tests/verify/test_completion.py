import pytest

from rlvr.config.verification import VerificationConfig
from rlvr.data.problem import Problem
from rlvr.errors import UserError
from rlvr.verify import Judge, Response

PROMPT = 'def double(x):\n    """Twice x."""\n'
TESTS = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate('ab') == 'abab'\n"
PROBLEM = Problem(
    "p", "task", PROMPT, "    return 2 * x\n", "code", {"tests": TESTS, "entry_point": "double"}
)
LIMITS = VerificationConfig(time_limit_s=2.0, memory_mb=1024, require_isolation="any")

COMPLETIONS = [
    ("    return 2 * x\n", 1.0, True, "passed"),
    ("    return x + x", 1.0, True, "passed"),
    ("    return x + 1\n", 0.0, True, "failed"),
    ("    return 2 *", 0.0, False, "error"),  # cut by the length limit
    ("", 0.0, True, "failed"),  # the docstring alone is a body that returns None
    ("    while True: pass\n", 0.0, True, "timeout"),
    ("    raise SystemExit\n", 0.0, False, "error"),
]


def test_completions_are_run_with_their_prompt_in_order():
    with Judge(2, LIMITS) as judge:
        verdicts = judge.judge([Response(text, True) for text, *_ in COMPLETIONS], [PROBLEM] * 7)
    assert [v.reward for v in verdicts] == [reward for _, reward, _, _ in COMPLETIONS]
    assert [v.format_ok for v in verdicts] == [ok for _, _, ok, _ in COMPLETIONS]
    assert [v.reason.split(":")[0] for v in verdicts] == [status for *_, status in COMPLETIONS]
    assert [v.answer for v in verdicts] == [text for text, *_ in COMPLETIONS]


def test_a_problem_without_tests_is_named():
    lonely = Problem("HumanEval/7", "task", PROMPT, "x", "code")
    with Judge(1, LIMITS) as judge, pytest.raises(UserError, match=r"HumanEval/7.*tests_field"):
        judge.judge([Response("", True)], [lonely])
