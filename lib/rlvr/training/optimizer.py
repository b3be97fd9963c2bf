"""A policy as a precision mode trains it, and the optimiser that does."""

import torch
from torch import nn

from rlvr.config.precision import GrpoConfig
from rlvr.errors import UserError
from rlvr.models.decoder import Decoder
from rlvr.models.loading import load_policy
from rlvr.models.policy_model import PolicyModel
from rlvr.optim import AdamW
from rlvr.precision import PrecisionMode, torch_dtype


def trainable_policy(
    path: str, mode: PrecisionMode, device: torch.device, divided: bool = False
) -> PolicyModel:
    """The policy of a folder, stored, computed and with gradients in the dtypes of the mode.

    `divided`: among the processes that share the job, see `load_policy`.
    UserError for a mode with dropout and a model that has none to apply.
    """
    master, compute = torch_dtype(mode.master), torch_dtype(mode.compute)
    model = load_policy(path, master, compute, mode.logits_fp32, device, divided)
    if mode.dropout.rate and not isinstance(model, Decoder):
        raise UserError(
            f"mode {mode.name} has attention dropout, which only the decoder of the Qwen2 "
            "and Llama families computes; set its rate to 0 for this model (precision.dropout_rate, or "
            "dropout.rate of a custom mode)"
        )
    for parameter in model.parameters():
        parameter.grad_dtype = torch_dtype(mode.reduce)
    return model


def make_optimizer(
    model: nn.Module,
    mode: PrecisionMode,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    seed: int,
    tracked: int = 0,
) -> AdamW:
    """AdamW with the mode's state dtype and write-back; for `seed` and `tracked` see `rlvr.optim.AdamW`."""
    return AdamW(
        model.parameters(),
        lr=learning_rate,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        state_dtype=torch_dtype(mode.optimizer_state),
        write_back=mode.write_back,
        seed=seed,
        tracked=tracked,
    )


def learning_rate(step: int, config: GrpoConfig) -> float:
    """Linear warm-up over the first `warmup_steps` steps (step counts from 0), constant afterwards."""
    warmup = config.optimizer.warmup_steps
    return config.optimizer.learning_rate * min(1.0, (step + 1) / warmup if warmup else 1.0)
