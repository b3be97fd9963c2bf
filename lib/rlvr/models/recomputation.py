"""Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): a second forward instead of activations."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlvr.errors import UserError


@runtime_checkable
class _Switched(Protocol):
    recompute: bool


def recompute_layers(model: nn.Module) -> None:
    """From now on each layer keeps only its input for the backward pass, and is computed again there.

    The layers are those that have a switch `recompute` (`rlvr.models.decoder.Layer`), or those that
    transformers marks; UserError for a model without any.
    """
    layers = [module for module in model.modules() if isinstance(module, _Switched)]
    for layer in layers:
        layer.recompute = True
    marked = [] if layers else _layers_of_transformers(model)
    for module in marked:
        # Not by transformers' own switch, which acts in training mode only, and there is dropout.
        module.forward = partial(_recomputed_if_trained, module.forward)
    if not layers and not marked:
        raise UserError(
            f"{type(model).__name__} has no layers that could be computed again; set "
            "trainer.recompute_activations to false for this model"
        )


def recomputed(
    layer: Callable[..., Any], *inputs: Any, generator: torch.Generator | None = None, **settings: Any
) -> Any:
    """`layer(*inputs, **settings)`; what it draws from `generator` it draws again in the backward pass."""
    return checkpoint(
        layer,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing is drawn from torch's own generators
        context_fn=partial(_contexts, generator),
        **settings,
    )


def _recomputed_if_trained(forward: Callable[..., Any], *inputs: Any, **settings: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **settings)
    return recomputed(forward, *inputs, **settings)


def _layers_of_transformers(model: nn.Module) -> list[nn.Module]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _contexts(
    generator: torch.Generator | None,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the forward, and around the second one in the backward pass."""
    if generator is None:
        return nullcontext(), nullcontext()
    return nullcontext(), _set_back(generator, generator.get_state())


@contextmanager
def _set_back(generator: torch.Generator, state: Tensor) -> Iterator[None]:
    """The generator in a state that it once had; afterwards in the one that it has now."""
    now = generator.get_state()
    generator.set_state(state)
    try:
        yield
    finally:
        generator.set_state(now)
