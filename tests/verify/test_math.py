import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from rlvr.data.problem import Problem
from rlvr.verify.math import MathVerifier, equivalent, verify_batch
from rlvr.verify.verdict import Response

PAIRS = [json.loads(line) for line in (Path(__file__).parent / "answer_pairs.jsonl").read_text().splitlines()]
KINDS = sorted({pair["kind"] for pair in PAIRS})


def problem(answer):
    return Problem("p", "task", "question", answer, "math")


@pytest.fixture(scope="module")
def verifier():
    with MathVerifier(workers=1, time_limit_s=10) as opened:
        yield opened


@pytest.fixture(scope="module")
def wrong_verdicts(verifier):
    """Labelled pairs on which the verdict is not the label, by kind."""
    reasons = verifier.compare([(pair["answer"], pair["gold"]) for pair in PAIRS])
    wrong = defaultdict(list)
    for pair, reason in zip(PAIRS, reasons, strict=True):
        if (reason == "right") != pair["equal"]:
            wrong[pair["kind"]].append((pair["answer"], pair["gold"], reason))
    return wrong


def test_labelled_pairs_are_many_of_both_labels_in_every_kind():
    assert len(PAIRS) >= 300 and len({(p["answer"], p["gold"]) for p in PAIRS}) == len(PAIRS)
    both = {kind: {p["equal"] for p in PAIRS if p["kind"] == kind} for kind in KINDS}
    assert {kind for kind, labels in both.items() if len(labels) < 2} == {
        "candidates",
        "empty",
        "instruction",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_labelled_pairs(wrong_verdicts, kind):
    assert wrong_verdicts[kind] == []


MALFORMED = [
    "}{",
    r"\frac{3",
    "\ud800",
    "\x00",
    "9" * 5000,
    "9**9**9",
    "(" * 1000,
    "99999!",
    "\\",
    r"\begin{x}",
]


@pytest.mark.parametrize("answer", MALFORMED)
def test_malformed_and_hostile_answers_are_wrong_without_a_worker(answer, monkeypatch):
    with MathVerifier() as verifier:
        monkeypatch.setattr(verifier._pool, "_start", lambda: pytest.fail("a worker was started"))
        assert verifier.compare([(answer, "3")]) == ["wrong"]
        assert verifier.compare([(answer, answer)]) == ["right"]


def test_a_time_limit_is_a_verdict_and_others_are_judged():
    """SymPy takes about 4 s for the sum, four times the CPU time that a pair has here."""
    slow = r"\sum_{k=1}^{\infty} \frac{1}{k^7+1}"
    with MathVerifier(workers=1, time_limit_s=5) as verifier:
        texts = [r"\boxed{\sin 2x}", rf"\boxed{{{slow}}}", r"\boxed{\cos 2x}", "no idea"]
        golds = [r"2\sin x\cos x", "5", r"1-2\sin^2 x", "5"]
        verdicts = verifier.judge([Response(text, True) for text in texts], [problem(gold) for gold in golds])
    assert [v.reward for v in verdicts] == [1.0, 0.0, 1.0, 0.0]
    assert [v.reason for v in verdicts] == ["right", "time limit", "right", "no answer found"]
    assert [v.format_ok for v in verdicts] == [True, True, True, False]
    assert [v.answer for v in verdicts] == [r"\sin 2x", slow, r"\cos 2x", ""]
    assert [v.rule for v in verdicts] == ["boxed", "boxed", "boxed", ""]


def test_a_batch_of_slow_answers_does_not_starve_the_others():
    slow = [(rf"\sum_{{k=1}}^{{\infty}} \frac{{{n}}}{{k^7+{n}}}", "5") for n in range(1, 31)]
    with MathVerifier(workers=1, time_limit_s=5) as verifier:
        reasons = verifier.compare([*slow, (r"\sin 2x", r"2\sin x\cos x"), ("0.5", "1/2")])
    assert reasons == [*["time limit"] * 30, "right", "right"]


def test_the_template_of_a_response_sets_where_its_answer_is_looked_for(verifier):
    text = r"<think> \boxed{4} </think> <answer> 5 </answer>"
    plain, tagged = verifier.judge(
        [Response(text, True), Response(text, True, "r1_zero")], [problem("5")] * 2
    )
    assert (plain.reward, plain.rule) == (0.0, "boxed")
    assert (tagged.reward, tagged.rule) == (1.0, "answer_tag")


def test_public_functions_share_one_worker():
    assert equivalent(" 0.5 ", r"\frac{1}{2}") is True
    assert equivalent("0.5", "0.6") is False
    verdicts = verify_batch(["The answer is 0.5.", r"\boxed{2}"], [problem("1/2"), problem("3")])
    assert [v.reward for v in verdicts] == [1.0, 0.0]


def test_exact_arithmetic_decides_without_a_worker(monkeypatch):
    with MathVerifier() as verifier:
        monkeypatch.setattr(verifier._pool, "_start", lambda: pytest.fail("a worker was started"))
        pairs = [("x", "x "), ("07", "7"), ("7", "8"), ("", "7"), (r"\sqrt8", r"2\sqrt2"), ("x+1", "x+2")]
        assert verifier.compare(pairs) == ["right", "right", "wrong", "wrong", "right", "wrong"]
        assert verifier.judge([Response("nothing", True)], [problem("7")])[0].reason == "no answer found"


def test_import_is_light_and_a_script_without_main_guard_may_judge(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from rlvr.verify.math import equivalent\n"
        "import rlvr.data, rlvr.verify\n"
        "assert not {'torch', 'math_verify', 'sympy', 'transformers'} & set(sys.modules)\n"
        "print(equivalent('2\\\\sin x\\\\cos x', '\\\\sin 2x'))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
