"""A model over several processes: each holds a share of every weight, gradient and moment (FSDP2).

`torch.distributed.fsdp.fully_shard` gathers the weights of a layer where they are used and forgets them
afterwards; gradients are summed up over the processes and scattered. What is gathered has the dtype of the
stored weights: the model casts it itself, as it does in a process alone.
"""

from collections.abc import Iterator

import torch
from torch import nn

from rlvr.errors import UserError
from rlvr.models.decoder import Layer
from rlvr.precision import PrecisionMode
from rlvr.processes import process_count


def shard(model: nn.Module, device: torch.device) -> None:
    """Divide the weights of a model among all processes, in place; where it has none yet, neither then.

    Gradients are sums over the processes, not means, since every process divides its losses by the counts of
    the whole batch. Everything is gathered again for the backward pass, embeddings and head too: weights that
    stayed gathered after a pass without gradients would be those of the step before in the next one.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (process_count(),))
    for module in (*_layers(model), model):
        divided = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        # A plain sum: gloo has no product of sum and factor, which torch would take for a factor of 1.
        divided.set_gradient_divide_factor(1.0)
        divided.set_force_sum_reduction_for_comms(True)
    register_fsdp_forward_method(model, "label_scores")  # gathers for it as for `forward`


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    """The modules that are gathered one after the other."""
    names = set(getattr(model, "_no_split_modules", None) or ())  # what transformers calls them
    return (
        module for module in model.modules() if isinstance(module, Layer) or type(module).__name__ in names
    )


def check_shardable(mode: PrecisionMode) -> None:
    """UserError for a mode that FSDP2 cannot reduce in: it stores gradients in the dtype of the weights."""
    if mode.reduce != mode.master:
        raise UserError(
            f"mode {mode.name} stores weights in {mode.master} and sums gradients up in {mode.reduce}; on "
            "several GPUs (precision.training.trainer.gpus) both must be the same"
        )
