"""Sampled accuracy of a policy on one task."""

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from rlvr.config.precision import EvaluationTaskConfig
from rlvr.data.problem import Problem
from rlvr.evaluation.estimators import accuracy_halves, clustered_mean, pass_at_k, sampling_error
from rlvr.evaluation.records import TaskResult
from rlvr.rollout.engine import Rollout, SamplingParams
from rlvr.verify.verdict import Verdict

Item = TypeVar("Item")


def stream_of(*parts: object) -> int:
    """Seed of an evaluation's random streams, in [0, 2⁶³), from whatever identifies it."""
    digest = hashlib.blake2b(repr(("evaluation", *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _strata(problems: Sequence[Problem], correct: np.ndarray) -> dict[str, float]:
    names = np.array([str(problem.metadata.get("stratum", "")) for problem in problems])
    return {str(name): float(correct[names == name].mean()) for name in np.unique(names) if name}


def first_samples(values: Sequence[Item], samples: int, count: int) -> list[Item]:
    """The first `count` of each problem's `samples` values, which lie side by side."""
    return [value for index, value in enumerate(values) if index % samples < count]


def summarise(
    task: str,
    problems: Sequence[Problem],
    samples: int,
    rollouts: Sequence[Rollout],
    verdicts: Sequence[Verdict],
    pass_at: Sequence[int],
) -> TaskResult:
    """Accuracy, pass@k and their standard errors from rollouts in problem order.

    pass@k for those k of `pass_at` that do not exceed `samples`.
    """
    correct = np.array([v.reward > 0 for v in verdicts]).reshape(len(problems), samples)
    accuracy, error = clustered_mean(correct.mean(axis=1))
    passes = {
        str(k): clustered_mean([pass_at_k(samples, int(c), k) for c in correct.sum(axis=1)])
        for k in pass_at
        if k <= samples
    }
    return TaskResult(
        task=task,
        problems=len(problems),
        samples=samples,
        accuracy=accuracy,
        accuracy_se_problems=error,
        accuracy_se_sampling=sampling_error(correct),
        accuracy_halves=accuracy_halves(correct),
        pass_at={k: value for k, (value, _) in passes.items()},
        pass_at_se={k: error for k, (_, error) in passes.items()},
        format_ok=float(np.mean([v.format_ok for v in verdicts])),
        stopped=float(np.mean([r.finish_reason == "stop" for r in rollouts])),
        response_tokens=float(np.mean([len(r.token_ids) for r in rollouts])),
        strata=_strata(problems, correct),
    )


def sample_records(
    task: str, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]
) -> list[dict[str, Any]]:
    """Every sample as a plain record for `{suite}.samples.jsonl.gz`."""
    return [
        {
            "task": task,
            "problem": rollout.prompt_id,
            "sample": rollout.sample,
            "response": rollout.text,
            "finish_reason": rollout.finish_reason,
            "tokens": len(rollout.token_ids),
            "log_prob": round(sum(rollout.log_probs), 6),
            **vars(verdict),
        }
        for rollout, verdict in zip(rollouts, verdicts, strict=True)
    ]


def sampling_params(task: EvaluationTaskConfig, temperature: float, top_p: float) -> SamplingParams:
    """How evaluation responses of a task are drawn."""
    return SamplingParams(
        max_tokens=task.max_tokens,
        temperature=temperature,
        top_p=top_p,
        stop=task.stop,
        keep_stop=task.keep_stop,
    )
