"""What is done to a gradient between the backward pass and the optimiser: its norm, clipping, noise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rlvr.processes import norm_over_processes
from rlvr.shards import local, place


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale gradients so that their global 2-norm is at most `max_norm`; return the norm before.

    The norm is accumulated in fp32 whatever the gradients' dtype; torch's clip_grad_norm_ rounds the norms
    of bf16 gradients to bf16. Of gradients that are divided among processes it is that of all parts.
    """
    gradients = [local(p.grad) for p in parameters if p.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(g, dtype=torch.float32) for g in gradients])
    norm = norm_over_processes(norms.norm()).item()
    if norm > max_norm:
        torch._foreach_mul_(gradients, max_norm / norm)
    return norm


def add_relative_noise(gradients: Sequence[Tensor], size: float, seed: int) -> None:
    """Multiply every entry by 1 + size·N(0, 1), in fp32, in place: rounding error without its carrier.

    Rounding to b bits errs by up to 2⁻ᵇ of a value; here the error has standard deviation `size`, whatever
    dtype the gradient has. Every process draws for whole gradients, so that their number changes nothing.
    """
    generator = torch.Generator(gradients[0].device).manual_seed(seed)
    for gradient in gradients:
        own = local(gradient)
        draws = torch.empty(gradient.numel(), device=own.device).normal_(generator=generator)
        own.copy_(own.float() * (1 + size * place(gradient).cut(draws).view(own.shape)))
