"""From next-token logits to sampled tokens, one uniform number a token."""

import torch
from torch import Tensor

from rlvr.errors import UserError
from rlvr.rollout.engine import SamplingParams

# Probabilities are summed as multiples of 2⁻⁵²: sums of integers are exact, so they depend on no order of
# addition, and CUDA has them in deterministic mode, where it refuses cumulative sums of floats.
SCALE = 2**52


def check_sampling(params: SamplingParams) -> None:
    """UserError for parameters that no engine can honour."""
    if params.max_tokens < 1:
        raise UserError(f"max_tokens is {params.max_tokens}; at least one token must be allowed")
    if not 0 <= params.min_tokens <= params.max_tokens:
        raise UserError(
            f"min_tokens is {params.min_tokens}; allowed is 0 to max_tokens ({params.max_tokens})"
        )
    if params.temperature < 0:
        raise UserError(f"temperature is {params.temperature}; allowed is 0 (greedy) or more")
    if not 0 < params.top_p <= 1:
        raise UserError(f"top_p is {params.top_p}; allowed is more than 0 and at most 1")


def sample_tokens(logits: Tensor, uniforms: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw a token per row by inverting its cumulative distribution at the row's uniform number.

    `logits`: (R, V) fp32, -inf where a token is forbidden. `uniforms`: (R,) float64 in [0, 1).
    `top_p` keeps the smallest set of most likely tokens whose probability reaches it (nucleus sampling,
    arXiv:1904.09751), renormalised. Temperature 0 takes the first of the most likely. Returns (R,) int64.
    """
    if temperature == 0.0:
        return logits.argmax(dim=-1)
    weights = ((logits / temperature).softmax(dim=-1).double() * SCALE).long()
    if top_p == 1.0:
        return _invert(weights.cumsum(dim=-1), uniforms)
    ordered, tokens = weights.sort(dim=-1, descending=True, stable=True)
    outside = ordered.cumsum(dim=-1) - ordered >= top_p * SCALE  # what comes before already reaches top_p
    cumulative = ordered.masked_fill(outside, 0).cumsum(dim=-1)
    return tokens.gather(1, _invert(cumulative, uniforms)[:, None])[:, 0]


def _invert(cumulative: Tensor, uniforms: Tensor) -> Tensor:
    """First index whose cumulative weight exceeds the uniform number times the row's total."""
    total = cumulative[:, -1:]
    targets = torch.minimum((uniforms[:, None] * total).long(), total - 1)  # the product may round up
    # The clamp is for logits that are not finite: the engine reports those at the end.
    return torch.searchsorted(cumulative, targets, right=True)[:, 0].clamp_(max=cumulative.shape[1] - 1)
