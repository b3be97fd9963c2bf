r"""Rewards of the prompts `r1_zero` and `question_only`: the right answer in the right format, or nothing.

The semantics are those of Stanford CS336 (spring 2025), assignment 5; equality is that of `rlvr.verify.math`.
"""

from collections.abc import Sequence

from rlvr.data.problem import Problem
from rlvr.verify.extraction import Extraction, extract_answer
from rlvr.verify.math import MathVerifier, equivalent
from rlvr.verify.verdict import Response, Verdict

GroundTruth = str | int | float | Sequence[str]


def r1_zero_answer(response: str) -> Extraction | None:
    """What stands in the last `<answer>` tag; None unless `</think> <answer>` and `</answer>` both occur."""
    if "</think> <answer>" not in response or "</answer>" not in response:
        return None
    return extract_answer(response, ["answer_tag"])


def question_only_answer(response: str) -> Extraction | None:
    r"""What stands in the last balanced, non-empty `\boxed{}`; None without one."""
    found = extract_answer(response, ["boxed"])
    return found if found.text else None


def _reward(found: Extraction | None, ground_truth: GroundTruth) -> dict[str, float]:
    """Reward of an answer against one truth, or against several of which any will do."""
    truths = [str(ground_truth)] if isinstance(ground_truth, str | int | float) else list(ground_truth)
    right = found is not None and any(equivalent(found.text, truth) for truth in truths)
    return {
        "format_reward": float(found is not None),
        "answer_reward": float(right),
        "reward": float(right),
    }


def r1_zero_reward(response: str, ground_truth: GroundTruth) -> dict[str, float]:
    """Return `format_reward`, `answer_reward` and `reward` (which is the answer's) of an r1_zero response."""
    return _reward(r1_zero_answer(response), ground_truth)


def question_only_reward(response: str, ground_truth: GroundTruth) -> dict[str, float]:
    r"""Return `format_reward`, `answer_reward` and `reward` of a response that must box its answer."""
    return _reward(question_only_answer(response), ground_truth)


READERS = {"r1_zero": r1_zero_answer, "question_only": question_only_answer}


def judge_prompted(
    prompt: str, verifier: MathVerifier, responses: Sequence[Response], problems: Sequence[Problem]
) -> list[Verdict]:
    """The same rewards as verdicts, a batch at once; `prompt` is a key of `READERS`."""
    found = [READERS[prompt](response.text) for response in responses]
    pairs = [(answer.text, problem.answer) for answer, problem in zip(found, problems, strict=True) if answer]
    reasons = iter(verifier.compare(pairs))
    return [
        Verdict(float((reason := next(reasons)) == "right"), True, answer.text, reason, answer.rule)
        if answer
        else Verdict(0.0, False, "", "wrong format")
        for answer in found
    ]
