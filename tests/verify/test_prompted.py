import threading

import pytest

from rlvr.config.verification import VerificationConfig
from rlvr.data.problem import Problem
from rlvr.verify import Judge
from rlvr.verify.prompted import question_only_reward, r1_zero_reward
from rlvr.verify.verdict import Response

RIGHT = {"format_reward": 1.0, "answer_reward": 1.0, "reward": 1.0}
WRONG = {"format_reward": 1.0, "answer_reward": 0.0, "reward": 0.0}
UNFORMATTED = {"format_reward": 0.0, "answer_reward": 0.0, "reward": 0.0}

R1_ZERO = [
    ("2 + 2 </think> <answer>4</answer>", "4", RIGHT),
    ("2 + 2 </think> <answer> 4.0 </answer>", "4", RIGHT),
    ("</think> <answer>\\frac{1}{2}</answer>", "0.5", RIGHT),
    ("</think> <answer>so it is \\boxed{4}</answer> bye", "4", RIGHT),
    ("</think> <answer>5</answer>", "4", WRONG),
    ("</think> <answer></answer>", "4", WRONG),
    ("</think><answer>4</answer>", "4", UNFORMATTED),  # the literal has a space
    ("</think>\n<answer>4</answer>", "4", UNFORMATTED),
    ("<answer>4</answer>", "4", UNFORMATTED),
    ("</think> <answer>4", "4", UNFORMATTED),
    ("4", "4", UNFORMATTED),
    ("", "4", UNFORMATTED),
]


@pytest.mark.parametrize(("response", "truth", "rewards"), R1_ZERO)
def test_r1_zero(response, truth, rewards):
    assert r1_zero_reward(response, truth) == rewards


QUESTION_ONLY = [
    (r"so \boxed{4}", "4", RIGHT),
    (r"so \boxed{\frac{1}{2}}", "1/2", RIGHT),
    (r"\boxed{5}", "4", WRONG),
    (r"\boxed{4", "4", UNFORMATTED),
    (r"\boxed{}", "4", UNFORMATTED),
    ("the answer is 4", "4", UNFORMATTED),
]


@pytest.mark.parametrize(("response", "truth", "rewards"), QUESTION_ONLY)
def test_question_only(response, truth, rewards):
    assert question_only_reward(response, truth) == rewards


@pytest.mark.parametrize(
    ("truth", "rewards"), [(4, RIGHT), (4.0, RIGHT), (5, WRONG), (["3", "4"], RIGHT), (["3", "5"], WRONG)]
)
def test_kinds_of_ground_truth(truth, rewards):
    assert question_only_reward(r"\boxed{4}", truth) == rewards


def test_in_threads():
    results = []

    def judge(number):
        results.append(
            question_only_reward(rf"\boxed{{\sqrt{{{number}^2 \cdot 2}}}}", rf"{number}\sqrt{{2}}")
        )

    threads = [threading.Thread(target=judge, args=(number,)) for number in (2, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [RIGHT] * 3


@pytest.mark.parametrize(
    ("verifier", "cases", "reward"),
    [("r1_zero", R1_ZERO, r1_zero_reward), ("question_only", QUESTION_ONLY, question_only_reward)],
)
def test_verifiers_give_the_same_rewards(verifier, cases, reward):
    problems = [Problem("p", "task", "question", truth, verifier) for _, truth, _ in cases]
    with Judge(1, VerificationConfig(10.0, 1024, "any")) as judge:
        verdicts = judge.judge([Response(text, True) for text, _, _ in cases], problems)
    assert [v.reward for v in verdicts] == [reward(text, truth)["reward"] for text, truth, _ in cases]
    assert [v.format_ok for v in verdicts] == [bool(r["format_reward"]) for *_, r in cases]
