"""Estimators of the advantage from the rewards of a group."""

import torch
from jaxtyping import Float
from torch import Tensor


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
    return torch.where(equal, torch.zeros_like(centred), centred).reshape(-1)
