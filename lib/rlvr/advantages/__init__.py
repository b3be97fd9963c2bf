"""From rewards to advantages: by group, by batch, and by statistics tracked for each prompt.

The trackers need numpy alone; nothing here imports torch.
"""

from rlvr.advantages.batch_stats import BatchStats
from rlvr.advantages.buffer import PerPromptStatTracker
from rlvr.advantages.ema import EmaPromptStatTracker
from rlvr.advantages.groups import group_advantages, response_rewards
from rlvr.advantages.tracker import AdvantageTracker, PromptStats

__all__ = [
    "AdvantageTracker",
    "BatchStats",
    "EmaPromptStatTracker",
    "PerPromptStatTracker",
    "PromptStats",
    "group_advantages",
    "response_rewards",
]
