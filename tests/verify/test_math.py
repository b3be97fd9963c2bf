import subprocess
import sys

import pytest

from rlvr.data.problem import Problem
from rlvr.verify.math import MathVerifier, equivalent, verify_batch
from rlvr.verify.verdict import Response


def problem(answer):
    return Problem("p", "task", "question", answer, "math")


# (answer, truth, same value?)
TABLE = [
    ("5", "5", True),
    ("05", "5", True),
    ("5", "6", False),
    ("-5", "5", False),
    ("0.5", r"\frac{1}{2}", True),
    ("1/2", r"\frac12", True),
    (r"\dfrac{1}{2}", r"\frac{1}{2}", True),
    (r"\frac{-1}{2}", r"-\frac{1}{2}", True),
    ("1,000", "1000", True),
    ("3.0", "3", True),
    ("0.333", r"\frac{1}{3}", False),
    (r"2\sqrt{2}", r"\sqrt{8}", True),
    ("x^2+2x+1", "(x+1)^2", True),
    ("x^2+2x", "(x+1)^2", False),
    ("x=5", "5", True),
    ("(1,2)", "(2,1)", False),
    ("[0,1)", "[0,1)", True),
    ("[0,1]", "[0,1)", False),
    (r"\{2,1\}", r"\{1,2\}", True),
    ("1,2", "12", False),
    (r"10\text{ cm}", "10", True),
    (r"90^\circ", "90", True),
    (r"\$10", "10", True),
    (r"1\frac{1}{2}", r"\frac{3}{2}", True),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}", False),
    (r"\text{Evelyn}", "Evelyn", True),
    (r"\text{odd}", r"\text{even}", False),
    ("", "5", False),
    ("}{", "5", False),
    (r"\frac{3", "3", False),
    ("\ud800", "3", False),
    ("\x00", "3", False),
    ("9" * 5000, "3", False),
]


@pytest.fixture(scope="module")
def verifier():
    with MathVerifier(workers=1, time_limit_s=10) as opened:
        yield opened


@pytest.mark.parametrize(("answer", "truth", "same"), TABLE)
def test_equality(verifier, answer, truth, same):
    assert verifier.compare([(answer, truth)]) == ["right" if same else "wrong"]


def test_time_limit_is_a_verdict_and_others_are_judged():
    with MathVerifier(workers=1, time_limit_s=1) as verifier:
        texts = [r"\boxed{0.5}", r"\boxed{9^{9^{9^{9}}}}", r"\boxed{0.25}", "no idea"]
        responses = [Response(text, finished=True) for text in texts]
        problems = [problem(truth) for truth in (r"\frac12", "5", r"\frac14", "5")]
        verdicts = verifier.judge(responses, problems)
    assert [v.reward for v in verdicts] == [1.0, 0.0, 1.0, 0.0]
    assert [v.reason for v in verdicts] == ["right", "time limit", "right", "no answer found"]
    assert [v.format_ok for v in verdicts] == [True, True, True, False]
    assert [v.answer for v in verdicts] == ["0.5", "9^{9^{9^{9}}}", "0.25", ""]


def test_public_functions_share_one_worker():
    assert equivalent(" 0.5 ", r"\frac{1}{2}") is True
    assert equivalent("0.5", "0.6") is False
    verdicts = verify_batch(["The answer is 0.5.", r"\boxed{2}"], [problem("1/2"), problem("3")])
    assert [v.reward for v in verdicts] == [1.0, 0.0]


def test_text_alone_decides_without_a_worker(monkeypatch):
    with MathVerifier() as verifier:
        monkeypatch.setattr(verifier._pool, "_start", lambda: pytest.fail("a worker was started"))
        pairs = [("x", "x "), ("07", "7"), ("7", "8"), ("", "7")]
        assert verifier.compare(pairs) == ["right", "right", "wrong", "wrong"]
        assert verifier.judge([Response("nothing", True)], [problem("7")])[0].reason == "no answer found"


def test_import_is_light_and_a_script_without_main_guard_may_judge(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from rlvr.verify.math import equivalent\n"
        "import rlvr.data, rlvr.verify\n"
        "assert not {'torch', 'math_verify', 'sympy', 'transformers'} & set(sys.modules)\n"
        "print(equivalent('0.5', '1/2'))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
