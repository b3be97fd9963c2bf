"""The tracker of a method, and the variant of the buffer that the study sets against the usual one."""

from numpy.typing import ArrayLike

from rlvr.advantage_study.methods import Method
from rlvr.advantages.batch_stats import BatchStats
from rlvr.advantages.buffer import PerPromptStatTracker
from rlvr.advantages.ema import EmaPromptStatTracker
from rlvr.advantages.tracker import AdvantageTracker, FloatArray, Occurrences, Prompts, read_batch


class StatisticsBeforeTracker(PerPromptStatTracker):
    """A sample is normalised by its prompt's buffer as it was before the batch, whose rewards enter then.

    So no reward takes part in its own normalisation, but the statistics are those of older parameters.
    """

    def update(self, prompts: Prompts, rewards: ArrayLike) -> FloatArray:
        """See `AdvantageTracker.update`."""
        names, values = read_batch(prompts, rewards)
        batch = Occurrences.of(self._numbers.of(names))
        self._make_room()
        advantages = self._advantages(batch, values)
        self._append(batch, values)
        return advantages


def make_tracker(method: Method) -> AdvantageTracker:
    """A new tracker; ValueError names a setting that is out of bounds."""
    if method.tracker == "batch":
        return BatchStats(eps=method.eps)
    if method.tracker == "ema":
        return EmaPromptStatTracker(method.decay, method.min_count, method.eps)
    buffer = StatisticsBeforeTracker if method.statistics == "before" else PerPromptStatTracker
    return buffer(method.buffer_size, method.min_count, method.eps)
