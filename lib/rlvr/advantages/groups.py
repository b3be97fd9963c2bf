"""Rewards of responses, and estimators of the advantage from the rewards of a group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the trackers beside this module need no torch
    from jaxtyping import Float
    from torch import Tensor


def response_rewards(
    reward_fn: Callable[[str, str], Mapping[str, float]],
    responses: Sequence[str],
    ground_truths: Sequence[str],
) -> list[float]:
    """Key "reward" of what `reward_fn(response, truth)` returns, called once for each response in order.

    A mapping without the key, and a reward that is not finite raise a ValueError that names the response.
    """
    rewards = []
    for index, (response, truth) in enumerate(zip(responses, ground_truths, strict=True)):
        scores = reward_fn(response, truth)
        if "reward" not in scores:
            raise ValueError(
                f"the reward of response {index} has no key 'reward'; it has {', '.join(scores)}"
            )
        rewards.append(float(scores["reward"]))
        if not math.isfinite(rewards[-1]):
            raise ValueError(f"the reward of response {index} is {rewards[-1]}, not a finite number")
    return rewards


def group_advantages(
    rewards: Float[Tensor, " B"], group_size: int, *, eps: float, normalize_by_std: bool
) -> Float[Tensor, " B"]:
    """Reward minus its contiguous group's mean, over the group's sample standard deviation plus `eps`.

    GRPO (Shao et al. 2024, arXiv:2402.03300); without `normalize_by_std` Dr. GRPO (arXiv:2503.20783).
    A group of equal rewards gives exactly 0: its mean is rounded, and that rounding error divided by `eps`
    would be an advantage out of nothing. So does a group of one. A number of rewards that is no multiple of
    `group_size` raises ValueError.
    """
    if group_size < 1 or rewards.numel() % group_size:
        raise ValueError(f"{rewards.numel()} rewards do not form groups of {group_size}")
    groups = rewards.view(-1, group_size)
    centred = groups - groups.mean(dim=1, keepdim=True)
    if normalize_by_std and group_size > 1:
        centred = centred / (groups.std(dim=1, keepdim=True) + eps)
    equal = (groups == groups[:, :1]).all(dim=1, keepdim=True)
    return centred.masked_fill(equal, 0.0).reshape(-1)
