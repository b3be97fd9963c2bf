"""AdamW with fp32 arithmetic, whatever dtype the weights and moments are stored in."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

WriteBack = Literal["nearest"]


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101, algorithm 2).

    Weights, gradients and moments are read into fp32, the step is computed in fp32 in the order of
    operations of `torch.optim.AdamW`, and the results are rounded into their storage dtypes: the moments
    into `state_dtype`, the weights into their own by `write_back` (`nearest`: round to nearest even). On
    fp32 weights with fp32 state every bit equals `torch.optim.AdamW`'s. On bf16 weights it differs from
    torch's own, which also computes in bf16.

    `seed` is that of the random write-back; nearest rounding does not use it.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        state_dtype: torch.dtype = torch.float32,
        write_back: WriteBack = "nearest",
        seed: int = 0,
    ):
        if lr < 0 or eps < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"AdamW needs lr, eps, weight_decay >= 0 and betas in [0, 1); got {lr=}, {eps=}, "
                f"{weight_decay=}, {betas=}"
            )
        if write_back != "nearest":
            raise ValueError(f"unknown write_back {write_back!r}; allowed: nearest")
        self.state_dtype, self.write_back, self.seed = state_dtype, write_back, seed
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict) -> None:
        """As torch's, without its decorator, which imports torch's compiler at the first call (1.5 s)."""
        torch.optim.Optimizer.add_param_group.__wrapped__(self, param_group)

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore moments in `state_dtype` exactly (torch's own casts them to the weights' dtype)."""
        super().load_state_dict(state_dict)
        for index, parameter in enumerate(p for group in self.param_groups for p in group["params"]):
            saved = state_dict["state"].get(index, {})
            for key in ("exp_avg", "exp_avg_sq"):
                if key in saved:
                    moment = saved[key].to(device=parameter.device, dtype=self.state_dtype, copy=True)
                    self.state[parameter][key] = moment

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter, dtype=self.state_dtype)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=self.state_dtype)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        gradient = parameter.grad.float()
        # `.float()` of an fp32 tensor is the tensor itself: fp32 storage is updated in place, without a copy.
        weight, first, second = parameter.float(), state["exp_avg"].float(), state["exp_avg_sq"].float()
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        step_size = group["lr"] / (1 - beta1 ** state["step"])
        root_correction = (1 - beta2 ** state["step"]) ** 0.5
        denominator = (second.sqrt() / root_correction).add_(group["eps"])
        weight.addcdiv_(first, denominator, value=-step_size)
        for stored, computed in (
            (parameter, weight),
            (state["exp_avg"], first),
            (state["exp_avg_sq"], second),
        ):
            if stored is not computed and stored.dtype != torch.float32:
                stored.copy_(computed)
