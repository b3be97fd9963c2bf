"""Exponential moving statistics of the rewards of each prompt."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rlvr.advantages.tracker import (
    FloatArray,
    Occurrences,
    PromptNumbers,
    Prompts,
    PromptTracker,
    StatsArrays,
    check_settings,
    grown,
    read_batch,
    require,
    tracked_or_batch,
)


class EmaPromptStatTracker(PromptTracker):
    """Advantages by an exponential moving mean and variance of each prompt's rewards.

    A prompt's first reward is its mean, with variance 0. Each further reward r, in input order, moves them by
    mean ← mean + (1 − decay) (r − mean) and variance ← decay (variance + (1 − decay) (r − mean)²), with the
    mean from before (Finch 2009, "Incremental calculation of weighted mean and variance"). All of a batch is
    taken in first; a sample is then normalised by its prompt's statistics if that has had at least
    `min_count` rewards, else by the batch. An `AdvantageTracker`. Memory: three numbers a prompt, up to twice
    as many while the table grows.
    """

    def __init__(self, decay: float = 0.9, min_count: int = 16, eps: float = 1e-7):
        require(0 <= decay < 1, "decay", decay, "0 up to, but not, 1")
        require(min_count >= 1, "min_count", min_count, "1 or more")
        super().__init__(min_count, eps)
        self.decay = decay
        self._mean, self._variance = np.zeros(0), np.zeros(0)

    def update(self, prompts: Prompts, rewards: ArrayLike) -> FloatArray:
        """See `AdvantageTracker.update`."""
        names, values = read_batch(prompts, rewards)
        batch = Occurrences.of(self._numbers.of(names))
        self._take_in(batch, values)
        mean, std = self._mean[batch.numbers], np.sqrt(self._variance[batch.numbers])
        return tracked_or_batch(
            values, batch, mean, std, self._seen[batch.numbers] >= self.min_count, self.eps
        )

    def _take_in(self, batch: Occurrences, values: FloatArray) -> None:
        """All steps of a batch at once.

        After m steps the moving mean and variance are those of a weighted sample: what was before has the
        weight decayᵐ, and reward j of the m has (1 − decay) decayᵐ⁻ʲ.
        """
        self._mean, self._variance, self._seen = (
            grown(array, len(self._numbers)) for array in (self._mean, self._variance, self._seen)
        )
        numbers, counts, decay = batch.numbers, batch.counts, self.decay
        new = self._seen[numbers] == 0
        rewards = values[batch.order]
        old_mean = np.where(new, rewards[batch.starts], self._mean[numbers])
        old_variance = self._variance[numbers]  # 0 of a new prompt, whose first reward then moves nothing
        weights = (1 - decay) * decay ** (np.repeat(counts, counts) - 1.0 - batch.rank)
        distance = rewards - np.repeat(old_mean, counts)  # from the old mean, so that equal rewards are exact
        moved = np.add.reduceat(weights * distance, batch.starts)
        spread = np.add.reduceat(weights * (distance - np.repeat(moved, counts)) ** 2, batch.starts)
        self._mean[numbers] = old_mean + moved
        self._variance[numbers] = decay**counts * (old_variance + moved**2) + spread
        self._seen[numbers] += counts

    def stats_arrays(self) -> StatsArrays:
        """See `AdvantageTracker.stats_arrays`; `count` is the number of all rewards that a prompt has had."""
        prompts = len(self._numbers)
        return StatsArrays(
            list(self._numbers),
            self._mean[:prompts].copy(),
            np.sqrt(self._variance[:prompts]),
            self._seen[:prompts].copy(),
        )

    def _settings(self) -> dict[str, Any]:
        return {"decay": self.decay, "min_count": self.min_count, "eps": self.eps}

    def state_dict(self) -> dict[str, Any]:
        """See `AdvantageTracker.state_dict`."""
        prompts = len(self._numbers)
        return {
            "settings": self._settings(),
            "prompts": list(self._numbers),
            "seen": self._seen[:prompts].tolist(),
            "mean": self._mean[:prompts].tolist(),
            "variance": self._variance[:prompts].tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `AdvantageTracker.load_state_dict`."""
        check_settings(state, self._settings())
        # All at once, so that a snapshot with a part missing changes nothing.
        self._numbers, self._seen, self._mean, self._variance = (
            PromptNumbers({prompt: number for number, prompt in enumerate(state["prompts"])}),
            np.array(state["seen"], dtype=np.intp),
            np.array(state["mean"], dtype=np.float64),
            np.array(state["variance"], dtype=np.float64),
        )
