"""The arms of expert iteration (rule train_expert_iteration_arm)."""

import logging
import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from rlvr.alignment.job import ArmFiles, ArmInputs, ExpertIterationJob
from rlvr.alignment.results import Row
from rlvr.alignment.setup import read_prompted
from rlvr.alignment.supervised import SeedRun
from rlvr.alignment.supervised_arm import train_arm
from rlvr.config.alignment import ExpertIterationSettings
from rlvr.data.problem import Problem
from rlvr.errors import UserError
from rlvr.objectives import masked_mean
from rlvr.policy import collate
from rlvr.rollout.engine import Rollout
from rlvr.rollout.judged import draw_rollouts, judge_rollouts
from rlvr.rollout.streams import named_generator, stream_seed
from rlvr.training.prompts import fitting_problems
from rlvr.training.scores import response_log_probs

logger = logging.getLogger(__name__)


class _ExpertIteration:
    """Expert iteration of one seed: CS336 (spring 2025), assignment 5, algorithm 2.

    A step samples responses to a batch of questions and trains on those that are correct, as often as they
    were drawn. Weights and moments go on from step to step; the algorithm leaves open whether the optimiser
    starts anew. A step without a correct response trains nothing.
    """

    columns: tuple[str, ...] = (
        "sampled",
        "correct",
        "updates",
        "loss",
        "grad_norm",
        "entropy_mean",
        "length_mean",
    )
    validate_every = 1

    def __init__(self, settings: ExpertIterationSettings, path: str, run: SeedRun):
        self.steps = settings.steps
        self._settings, self._run = settings, run
        common = run.setup.common
        problems = read_prompted(path, common)
        room = run.engine.max_positions - common.generation.max_tokens
        self._problems = fitting_problems(problems, common.prompt.template, run.setup.tokenizer, room)
        if settings.batch_size > len(self._problems):
            raise UserError(
                f"alignment.expert_iteration: batch_size is {settings.batch_size}, but {path} has "
                f"{len(self._problems)} questions that leave room for a response; lower it"
            )
        counts = {"used": len(self._problems), "too_long": len(problems) - len(self._problems), "room": room}
        self.facts: dict[str, Any] = {"prompts": counts}

    def step(self) -> Row:
        """Sample, keep what is correct, train on it."""
        number, state = self._run.state.step, self._run.state
        rollouts, correct = self._sample(number)
        state.rollouts += len(rollouts)
        state.tokens_sampled += sum(len(rollout.token_ids) for rollout in rollouts)
        entropy = self._entropy(rollouts)  # before the weights change
        trained = [self._run.update(*batch) for batch in self._batches(correct, number)]
        losses, norms = zip(*trained, strict=True) if trained else ([math.nan], [math.nan])
        if not trained:
            logger.warning("step %d: no response is correct; nothing to train on", number + 1)
        return {
            "sampled": len(rollouts),
            "correct": len(correct),
            "updates": len(trained),
            "loss": fmean(losses),
            "grad_norm": fmean(norms),
            "entropy_mean": entropy,
            "length_mean": fmean(len(rollout.token_ids) for rollout in rollouts),
        }

    def _questions(self, number: int) -> list[Problem]:
        """Questions of a step, each once; by seed and step alone."""
        drawn = named_generator("expert iteration", self._run.seed, number).permutation(len(self._problems))
        return [self._problems[index] for index in drawn[: self._settings.batch_size]]

    def _sample(self, number: int) -> tuple[list[Rollout], list[Rollout]]:
        """All responses of a step, and the correct ones."""
        run, samples = self._run, self._settings.rollouts
        template, questions = run.setup.common.prompt.template, self._questions(number)
        run.engine.load_weights(run.model.named_parameters())
        stream = stream_seed(run.seed, number, 0)
        rollouts = draw_rollouts(questions, template, samples, run.setup.sampling, run.engine, stream)
        verdicts = judge_rollouts(rollouts, questions, template, samples, run.judge)
        judged = zip(rollouts, verdicts, strict=True)
        return rollouts, [rollout for rollout, verdict in judged if verdict.reward == 1.0]

    def _entropy(self, rollouts: Sequence[Rollout]) -> float:
        """Next-token entropy in nats: the mean over responses of the mean over their tokens."""
        run = self._run
        prompts, responses = [r.prompt_ids for r in rollouts], [r.token_ids for r in rollouts]
        batch = collate(prompts, responses, run.setup.tokenizer.pad_token_id)
        batch = {name: tensor.to(run.setup.device) for name, tensor in batch.items()}
        _, entropies = response_log_probs(run.model, batch, run.microbatch_size, entropy=True)
        assert entropies is not None  # they were asked for
        return masked_mean(entropies, batch["response_mask"], 1).mean().item()

    def _batches(
        self, correct: Sequence[Rollout], number: int
    ) -> list[tuple[list[tuple[int, ...]], list[list[int]]]]:
        """Prompts and responses of each update: shuffled epochs, the last batch of each perhaps smaller."""
        size, batches = self._settings.sft_batch_size, []
        for epoch in range(self._settings.epochs):
            shuffled = named_generator("expert iteration epoch", self._run.seed, number, epoch)
            order = shuffled.permutation(len(correct))
            for start in range(0, len(correct), size):
                chosen = [correct[index] for index in order[start : start + size]]
                batches.append(([r.prompt_ids for r in chosen], [self._response(r) for r in chosen]))
        return batches

    def _response(self, rollout: Rollout) -> list[int]:
        """What was sampled; after a stop string EOS follows, as in the examples of SFT."""
        tokens, eos = list(rollout.token_ids), self._run.setup.tokenizer.eos_token_id
        whole = rollout.finish_reason == "length" or tokens[-1] in {eos, *self._run.model.end_ids}
        return tokens if whole else [*tokens, eos]


def train_expert_iteration_arm(
    job: ExpertIterationJob, inputs: ArmInputs, files: ArmFiles, verification_workers: int, code: str
) -> None:
    """Train by expert iteration from the base, once for every seed; see `train_arm`.

    More questions in a step than there are is a UserError.
    """
    method = partial(_ExpertIteration, job.settings, inputs.examples)
    rows = job.settings.sft_batch_size
    train_arm("expert_iteration", job, inputs, files, verification_workers, code, rows, method)
