import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.data.problem import Problem
from rlvr.verify.math import MathVerifier, equivalent, extract_answer, last_boxed, verify_batch


def problem(answer):
    return Problem("p", "task", "question", answer, "math")


EXTRACTION = [
    (r"So \boxed{5}.", "5"),
    (r"\boxed{1} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{ \{1, 2\} }", r"\{1, 2\}"),
    (r"\boxed {7}", "7"),
    (r"\boxed{7} and an open \boxed{8", "7"),
    (r"\boxed{7} then an empty \boxed{}", "7"),
    (r"\boxed{\boxed{3}}", "3"),
    (r"}} \boxed{4} {", "4"),
    (r"open \boxed{12, the answer is 12.", "12"),
    ("The answer is 5. I hope it is correct.", "5"),
    ("the final answer is: $\\frac{3}{4}$.", r"\frac{3}{4}"),
    ("The answer is 3.5.", "3.5"),
    ("Answer: **42**", "42"),
    ("the answer is 1\nNo, the answer is \\(2\\)", "2"),
    ("2 + 2 = 4\n#### 1,234", "1,234"),
    ("#### 5\nThe answer is 6", "6"),
    ("first 3, then -1,250.75", "-1,250.75"),
    ("costs $18", "18"),
    ("half is 1/2", "1/2"),
    ("\\boxed{} 9", "9"),
    ("no numbers here", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "answer"), EXTRACTION)
def test_extraction(text, answer):
    assert extract_answer(text) == answer


@given(st.text(st.sampled_from(list("\\boxed{} answer is:#$*.,-/0123456789%\n\ud800é")), max_size=200))
def test_extraction_never_raises_and_gives_a_part_of_the_text(text):
    answer = extract_answer(text)
    assert answer in text and answer == answer.strip()


@given(st.recursive(st.sampled_from(["x", r"\{", "1"]), lambda inner: inner.map(lambda s: f"{{{s}}}a")))
def test_balanced_box_is_found_whole(content):
    assert last_boxed(rf"junk {{ \boxed{{{content}}} more }}") == content


@pytest.mark.parametrize("unit", [r"\boxed{", "{", "}", "answer is ", "1,", "####", "\\", "$", "answer: \t "])
def test_extraction_is_linear(unit):
    """A quadratic scan of a megabyte would take minutes (and the test's time with it)."""
    extract_answer(unit * (1_000_000 // len(unit)))


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
        responses = [r"\boxed{0.5}", r"\boxed{9^{9^{9^{9}}}}", r"\boxed{0.25}", "no idea"]
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
        assert verifier.judge(["nothing"], [problem("7")])[0].reason == "no answer found"


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
