"""Statistics over the last rewards of each prompt."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rlvr.advantages.tracker import (
    FloatArray,
    IntArray,
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


class PerPromptStatTracker(PromptTracker):
    """Advantages by the mean and standard deviation of each prompt's last `buffer_size` rewards.

    The rewards of a batch enter the buffers first; a sample is then normalised by its prompt's buffer if that
    holds at least `min_count` rewards, else by the batch. An `AdvantageTracker`; the idea is that of DDPO
    (Black et al. 2023, arXiv:2305.13301). Memory: prompts × (`buffer_size` + 3) numbers, up to twice as many
    while the table of prompts grows.
    """

    def __init__(self, buffer_size: int = 32, min_count: int = 16, eps: float = 1e-7):
        require(buffer_size >= 1, "buffer_size", buffer_size, "1 or more")
        require(1 <= min_count <= buffer_size, "min_count", min_count, f"1 to buffer_size ({buffer_size})")
        super().__init__(min_count, eps)
        self.buffer_size = buffer_size
        # Rings: reward n of a prompt is in column n % buffer_size, and the first in every column without one.
        self._rewards = np.zeros((0, buffer_size))
        self._mean, self._std = np.zeros(0), np.zeros(0)  # of what each buffer holds

    def update(self, prompts: Prompts, rewards: ArrayLike) -> FloatArray:
        """See `AdvantageTracker.update`."""
        names, values = read_batch(prompts, rewards)
        batch = Occurrences.of(self._numbers.of(names))
        self._make_room()
        self._append(batch, values)
        return self._advantages(batch, values)

    def _make_room(self) -> None:
        """A row for every prompt that has a number."""
        self._rewards, self._seen, self._mean, self._std = (
            grown(array, len(self._numbers)) for array in (self._rewards, self._seen, self._mean, self._std)
        )

    def _advantages(self, batch: Occurrences, values: FloatArray) -> FloatArray:
        """Of a batch's rewards, by what the buffers hold now."""
        numbers = batch.numbers
        known = self._seen[numbers] >= self.min_count
        return tracked_or_batch(values, batch, self._mean[numbers], self._std[numbers], known, self.eps)

    def _append(self, batch: Occurrences, values: FloatArray) -> None:
        new = self._seen[batch.numbers] == 0
        self._rewards[batch.numbers[new]] = values[batch.order[batch.starts[new]], None]
        numbers, order = np.repeat(batch.numbers, batch.counts), batch.order
        column = (self._seen[numbers] + batch.rank) % self.buffer_size
        if batch.counts.max() > self.buffer_size:  # of such a prompt the last samples alone find room
            last = batch.rank >= np.repeat(batch.counts, batch.counts) - self.buffer_size
            numbers, column, order = numbers[last], column[last], order[last]
        self._rewards[numbers, column] = values[order]
        self._seen[batch.numbers] += batch.counts
        self._mean[batch.numbers], self._std[batch.numbers] = self._statistics(batch.numbers)

    def _statistics(self, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the rewards that the prompts' buffers hold.

        All columns are computed with; those of a buffer that is not full equal its first, and so add
        (0 − mean)² each to the squares, which is taken away again.
        """
        buffers, count = self._rewards[numbers], np.minimum(self._seen[numbers], self.buffer_size)
        first = buffers[:, 0].copy()
        buffers -= first[:, None]  # so that the mean of equal rewards is exact
        mean = buffers.sum(axis=1) / count
        buffers -= mean[:, None]
        squares = np.einsum("ij,ij->i", buffers, buffers) - (self.buffer_size - count) * mean**2
        std = np.sqrt(np.maximum(squares, 0.0) / count)
        return first + mean, std

    def stats_arrays(self) -> StatsArrays:
        """See `AdvantageTracker.stats_arrays`; `count` is the number of rewards in the buffer."""
        prompts = len(self._numbers)
        return StatsArrays(
            list(self._numbers),
            self._mean[:prompts].copy(),
            self._std[:prompts].copy(),
            np.minimum(self._seen[:prompts], self.buffer_size),
        )

    def _settings(self) -> dict[str, Any]:
        return {"buffer_size": self.buffer_size, "min_count": self.min_count, "eps": self.eps}

    def state_dict(self) -> dict[str, Any]:
        """See `AdvantageTracker.state_dict`."""
        prompts = len(self._numbers)
        return {
            "settings": self._settings(),
            "prompts": list(self._numbers),
            "seen": self._seen[:prompts].tolist(),
            "rewards": self._rewards[:prompts].tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `AdvantageTracker.load_state_dict`."""
        check_settings(state, self._settings())
        # All at once, so that a snapshot with a part missing changes nothing.
        self._numbers, self._seen, self._rewards = (
            PromptNumbers({prompt: number for number, prompt in enumerate(state["prompts"])}),
            np.array(state["seen"], dtype=np.intp),
            np.array(state["rewards"], dtype=np.float64).reshape(-1, self.buffer_size),
        )
        self._mean, self._std = self._statistics(np.arange(len(self._numbers)))
