"""The arithmetic of one Adam step, on lists of fp32 tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class AdamStep:
    """The numbers of one Adam step (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1)."""

    beta1: float
    beta2: float
    eps: float
    decay: float  # lr · weight_decay
    step_size: float  # lr / (1 − β₁ᵗ)
    root_correction: float  # √(1 − β₂ᵗ)

    @classmethod
    def at_step(cls, step: int, group: Mapping[str, Any]) -> Self:
        """The numbers of step `step` (from 1), with the settings of a parameter group."""
        beta1, beta2 = group["betas"]
        lr = group["lr"]
        return cls(
            beta1,
            beta2,
            group["eps"],
            lr * group["weight_decay"],
            lr / (1 - beta1**step),
            (1 - beta2**step) ** 0.5,
        )

    def update_moments(self, firsts: list[Tensor], seconds: list[Tensor], gradients: list[Tensor]) -> None:
        """New moments in place; fp32 tensors."""
        torch._foreach_lerp_(firsts, gradients, 1 - self.beta1)
        torch._foreach_mul_(seconds, self.beta2)
        torch._foreach_addcmul_(seconds, gradients, gradients, 1 - self.beta2)

    def add_steps(self, targets: list[Tensor], firsts: list[Tensor], seconds: list[Tensor]) -> None:
        """Add −lr·m̂/(√v̂ + ε) to `targets` in place; fp32 tensors."""
        denominators = torch._foreach_sqrt(seconds)
        torch._foreach_div_(denominators, self.root_correction)
        torch._foreach_add_(denominators, self.eps)
        torch._foreach_addcdiv_(targets, firsts, denominators, -self.step_size)

    def decay_weights(self, weights: list[Tensor]) -> None:
        """Multiply by 1 − lr·weight_decay in place."""
        if self.decay:
            torch._foreach_mul_(weights, 1 - self.decay)
