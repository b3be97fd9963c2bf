"""From the rewards of a step to the advantages that it trains on, by the estimator of the run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rlvr.advantages.batch_stats import BatchStats
from rlvr.advantages.buffer import PerPromptStatTracker
from rlvr.advantages.ema import EmaPromptStatTracker
from rlvr.advantages.groups import group_advantages
from rlvr.config.precision import AdvantageConfig
from rlvr.training.groups import Collected, Group


def _samples(groups: Sequence[Group]) -> tuple[list[str], list[float]]:
    """Problem id and reward of every response, in group order."""
    prompts = [group.problem.id for group in groups for _ in group.rewards]
    return prompts, [reward for group in groups for reward in group.rewards]


def _tracker(config: AdvantageConfig) -> PerPromptStatTracker | EmaPromptStatTracker | None:
    if config.estimator == "per_prompt_buffer":
        return PerPromptStatTracker(config.buffer_size, config.min_count, config.eps)
    if config.estimator == "per_prompt_ema":
        return EmaPromptStatTracker(config.decay, config.min_count, config.eps)
    return None


class Estimator:
    """The estimator of a run, made once; what it remembers is part of the run's checkpoints.

    `group`: `rlvr.advantages.group_advantages`. `batch`: statistics of the rewards of the groups that are
    trained on. `per_prompt_buffer` and `per_prompt_ema`: statistics of the prompt (`Problem.id`) over its
    rewards so far. They take in every group that was sampled, those that dynamic sampling drops too: without
    them a prompt that is nearly always solved would look harder than it is. A prompt that has had fewer than
    `min_count` rewards is normalised by the batch, again of the groups that are trained on. `none`: rewards.
    """

    def __init__(self, config: AdvantageConfig, group_size: int):
        self._config, self._group_size = config, group_size
        self._tracker = _tracker(config)

    def estimate(self, collected: Collected, device: torch.device | str) -> tuple[Float[Tensor, " B"], float]:
        """Advantages, float32, of the kept groups' responses in group order, and the share that is tracked.

        Tracked: normalised by its own prompt's statistics; 0 for estimators that track none, NaN if no group
        is kept. To be called once a step, with no group kept too: the statistics take in what was sampled.
        """
        prompts, rewards = _samples(collected.kept)
        values = torch.tensor(rewards, dtype=torch.float32, device=device)
        if self._tracker is not None:
            return self._tracked(collected, prompts, rewards, values)
        if not rewards:
            return values, math.nan
        if self._config.estimator == "group":
            by_std = self._config.normalize_by_std
            values = group_advantages(values, self._group_size, eps=self._config.eps, normalize_by_std=by_std)
        elif self._config.estimator == "batch":
            values = values.new_tensor(BatchStats(self._config.eps).update(prompts, rewards))
        return values, 0.0

    def _tracked(
        self, collected: Collected, prompts: list[str], rewards: list[float], values: Tensor
    ) -> tuple[Tensor, float]:
        """`estimate` with a tracker; `values`: the kept rewards as a tensor."""
        assert self._tracker is not None  # only estimators with a tracker come here
        every = self._tracker.update(*_samples(collected.sampled))
        if not rewards:
            return values, math.nan
        kept = {id(group) for group in collected.kept}
        trained = [id(group) in kept for group in collected.sampled for _ in group.rewards]
        tracked = self._tracker.tracked(prompts)
        batch = BatchStats(self._config.eps).update(prompts, rewards)
        advantages = np.where(tracked, every[trained], batch)
        return values.new_tensor(advantages), float(tracked.mean())

    def state_dict(self) -> dict[str, Any]:
        """What the tracker remembers, in plain Python values; empty for estimators without one."""
        return {} if self._tracker is None else self._tracker.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`; ValueError if that is of a tracker with other settings."""
        if self._tracker is not None:
            self._tracker.load_state_dict(state)
