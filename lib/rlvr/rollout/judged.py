"""Responses to problems and what they are worth: the same steps in training and in evaluation."""

from collections.abc import Sequence

from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.rollout.engine import GenerationRequest, Rollout, RolloutEngine, SamplingParams
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Response, Verdict


def draw_rollouts(
    problems: Sequence[Problem],
    template: str,
    samples: int,
    params: SamplingParams,
    engine: RolloutEngine,
    seed: int,
) -> list[Rollout]:
    """`samples` rollouts of each problem, side by side, in problem order."""
    requests = [GenerationRequest(p.id, apply_template(template, p), samples) for p in problems]
    return engine.generate(requests, params, seed)


def judge_rollouts(
    rollouts: Sequence[Rollout], problems: Sequence[Problem], template: str, samples: int, judge: Judge
) -> list[Verdict]:
    """The verdict of each rollout, in order; `template` is what the problems were prompted with."""
    repeated = [problem for problem in problems for _ in range(samples)]
    responses = [Response(rollout.text, rollout.finish_reason == "stop", template) for rollout in rollouts]
    return judge.judge(responses, repeated)
