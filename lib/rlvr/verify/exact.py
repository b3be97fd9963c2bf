"""Exact match: the whole response is the answer, character by character."""

from rlvr.data.problem import Problem
from rlvr.verify.verdict import Response, Verdict


def judge_exact(response: Response, problem: Problem) -> Verdict:
    """Right only if the text equals the answer and the response has ended by itself.

    A response cut by the length limit might have gone on, so it is wrong whatever it says.
    """
    if not response.finished:
        return Verdict(0.0, False, response.text, "not finished")
    right = response.text == problem.answer
    return Verdict(float(right), True, response.text, "right" if right else "wrong")
