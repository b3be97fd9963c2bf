"""The baseline: rewards normalised by the statistics of their batch, whatever their prompts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rlvr.advantages.tracker import (
    FloatArray,
    Prompts,
    PromptStats,
    StatsArrays,
    check_settings,
    mean_and_std,
    normalise,
    read_batch,
    require,
)


class BatchStats:
    """(reward − mean) / (std + eps) with the batch's mean and population standard deviation.

    An `AdvantageTracker`; it remembers the statistics of the last batch, for `stats` alone.
    """

    def __init__(self, eps: float = 1e-7):
        require(0 <= eps < float("inf"), "eps", eps, "a finite number, not negative")
        self.eps = eps
        self._last: PromptStats | None = None

    def update(self, prompts: Prompts, rewards: ArrayLike) -> FloatArray:
        """See `AdvantageTracker.update`."""
        _, values = read_batch(prompts, rewards)
        mean, std = mean_and_std(values)
        self._last = PromptStats(prompt=None, mean=mean, std=std, count=len(values))
        return normalise(values, mean, std, self.eps)

    def stats(self) -> list[PromptStats]:
        """One row, of the last batch, without a prompt; none before the first batch."""
        return [] if self._last is None else [self._last.copy()]

    def stats_arrays(self) -> StatsArrays:
        """See `AdvantageTracker.stats_arrays`; of one prompt, None, or of none."""
        rows = self.stats()
        return StatsArrays(
            [row["prompt"] for row in rows],
            np.array([row["mean"] for row in rows], dtype=np.float64),
            np.array([row["std"] for row in rows], dtype=np.float64),
            np.array([row["count"] for row in rows], dtype=np.intp),
        )

    def state_dict(self) -> dict[str, Any]:
        """See `AdvantageTracker.state_dict`."""
        return {"settings": {"eps": self.eps}, "last": self.stats()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `AdvantageTracker.load_state_dict`."""
        check_settings(state, {"eps": self.eps})
        self._last = state["last"][0].copy() if state["last"] else None
