"""Validation during training: one response to each held-out problem, and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlvr.config.precision import TrainerConfig
from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.evaluation.sampling import stream_of
from rlvr.generations import GenerationLog, log_generations
from rlvr.models.policy_model import PolicyModel
from rlvr.policy import collate
from rlvr.rollout.engine import Rollout, RolloutEngine, SamplingParams
from rlvr.rollout.judged import draw_rollouts, judge_rollouts
from rlvr.training.scores import response_log_probs
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Verdict


@dataclass(frozen=True)
class Validation:
    """One validation: `row` holds the measures by name, `generations` a record of each logged response."""

    row: dict[str, Any]
    generations: list[dict[str, Any]]


class Validator:
    """Validates the policy of one run, always on the same problems.

    `problems`: during the training; `final_problems`: after it. `seed`: that of the run. `logged`, at least
    1: how many responses are written out and have their entropy measured, in batches of `microbatch_tokens`.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        final_problems: Sequence[Problem],
        template: str,
        params: SamplingParams,
        seed: int,
        logged: int,
        pad_id: int,
        microbatch_tokens: int,
    ):
        self._problems = {False: problems, True: final_problems}
        self._template = template
        self._params = params
        self._seed = seed
        self._logged = logged
        self._pad_id = pad_id
        self._trainer = TrainerConfig(microbatch_tokens=microbatch_tokens)

    def measure(
        self, model: PolicyModel, engine: RolloutEngine, judge: Judge, step: int, final: bool = False
    ) -> Validation:
        """Sample from the model's weights as they are after `step` steps.

        What is drawn depends on weights, seed, `step` and `final` alone. `entropy_mean` is over the logged
        responses, everything else over all; a mean over no responses is NaN. Logits that are not finite
        raise FloatingPointError.
        """
        problems = self._problems[final]
        engine.load_weights(model.named_parameters())
        stream = stream_of("validation", self._seed, step, final)
        rollouts = draw_rollouts(problems, self._template, 1, self._params, engine, stream)
        verdicts = judge_rollouts(rollouts, problems, self._template, 1, judge)
        log = self._log(model, problems[: self._logged], rollouts, verdicts)
        row = {"step": step, **_measures(rollouts, verdicts), "entropy_mean": log.summary()["entropy_mean"]}
        return Validation(row, [{"step": step, **record} for record in log.records()])

    def _log(
        self,
        model: PolicyModel,
        problems: Sequence[Problem],
        rollouts: Sequence[Rollout],
        verdicts: Sequence[Verdict],
    ) -> GenerationLog:
        """The first responses, one of each of `problems`, with their entropies under `model`."""
        rollouts, verdicts = rollouts[: len(problems)], verdicts[: len(problems)]
        tokens = collate([r.prompt_ids for r in rollouts], [r.token_ids for r in rollouts], self._pad_id)
        device = next(model.parameters()).device
        tokens = {name: tensor.to(device) for name, tensor in tokens.items()}
        _, entropies = response_log_probs(model, tokens, len(rollouts), entropy=True, trainer=self._trainer)
        assert entropies is not None  # they were asked for
        return log_generations(
            [apply_template(self._template, problem) for problem in problems],
            [rollout.text for rollout in rollouts],
            [problem.answer for problem in problems],
            [_rewards(verdict) for verdict in verdicts],
            entropies,
            tokens["response_mask"],
        )


def _rewards(verdict: Verdict) -> dict[str, float]:
    return {
        "format_reward": float(verdict.format_ok),
        "answer_reward": verdict.reward,
        "reward": verdict.reward,
    }


def _measures(rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Shares and means over all responses; lengths in tokens."""
    rewards = np.array([verdict.reward for verdict in verdicts])
    formatted = np.array([verdict.format_ok for verdict in verdicts])
    lengths = np.array([len(rollout.token_ids) for rollout in rollouts])
    correct = rewards == 1.0
    return {
        "problems": len(rollouts),
        "accuracy": float(correct.mean()),
        "format_rate": float(formatted.mean()),
        "reward_mean": float(rewards.mean()),
        "length_mean": float(lengths.mean()),
        "length_mean_correct": _mean(lengths[correct]),
        "length_mean_wrong": _mean(lengths[~correct]),
        "well_formed_wrong": float((formatted & ~correct).mean()),
        "unformatted": float((~formatted).mean()),
        "truncated": float(np.mean([rollout.finish_reason == "length" for rollout in rollouts])),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
