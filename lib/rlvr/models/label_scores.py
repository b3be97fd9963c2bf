"""Log-probabilities of labels, and entropies, from hidden states: where they are asked for, part by part.

Logits have a number for each entry of the vocabulary, so those of a long response can be larger than the
model. They need not exist together: a position's log-probability depends on no other position's.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlvr.models.products import add_product, linear, matmul

# Logits that measures hold at once, unless a single position has more: 2²⁴ float64 numbers are 134 MB, and
# some five tensors of that size live together.
MAX_LOGITS = 2**24


@dataclass(frozen=True)
class Head:
    """The product from hidden states to logits: weight (V, H) and bias (V), stored in any dtype.

    It is computed in `compute`; logits come in fp32 or, without `logits_fp32`, in `compute`.
    """

    weight: Tensor
    bias: Tensor | None
    compute: torch.dtype
    logits_fp32: bool

    def cast(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in `compute`."""
        return self.weight.to(self.compute), None if self.bias is None else self.bias.to(self.compute)


@dataclass(frozen=True)
class Scoring:
    """What is asked of the next-token distributions.

    `entropy`: theirs too, in nats, without gradients (it is a metric). `softmax_dtype`: of the softmax over
    the vocabulary, None: at least fp32. `chunk`: positions whose logits exist at a time, None: all.
    """

    entropy: bool = False
    softmax_dtype: torch.dtype | None = None
    chunk: int | None = None


def log_softmax(logits: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Log-probabilities over the last dimension in fp32, or in float64 where the logits are.

    A `dtype` is that of the softmax; the result is in at least fp32 all the same.
    """
    if dtype is not None:
        return torch.log_softmax(logits, dim=-1, dtype=dtype).float()
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return torch.log_softmax(logits, dim=-1, dtype=dtype)


def of_labels(log_probs: Tensor, labels: Tensor) -> Tensor:
    """The entries (…) of log-probabilities (…, V) at the labels (…)."""
    return log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def entropy_of(log_probs: Tensor) -> Tensor:
    """Entropy in nats of each distribution, (…, V) to (…)."""
    # The clamp turns 0 · log 0 from NaN into 0, in the gradient too.
    return -(log_probs.exp() * log_probs.clamp(min=torch.finfo(log_probs.dtype).min)).sum(dim=-1)


def label_scores(
    head: Head,
    hidden: Float[Tensor, "B S H"],
    labels: Int[Tensor, "B S"],
    mask: Bool[Tensor, "B S"],
    scoring: Scoring,
) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S"] | None]:
    """Log-probabilities of the labels where `mask` is true, and entropies if asked for; zero elsewhere.

    In chunks the results are those of one pass up to the order of sums: the gradient of the head's weights is
    summed up in at least fp32 and rounded once, as that of one product is. The backward pass computes each
    chunk's logits again.
    """
    positions = mask.flatten().nonzero().squeeze(1)
    wanted = labels.flatten()[positions]
    chosen = hidden.flatten(0, 1).index_select(0, positions)
    if scoring.chunk is None:
        scores = _scores(_logits(chosen, *head.cast(), head.logits_fp32), wanted, scoring)
    else:
        scores = _InChunks.apply(chosen, head.weight, head.bias, wanted, head, scoring)
    return _placed(scores, mask)


def scores_of_logits(
    logits: Float[Tensor, "B S V"], labels: Int[Tensor, "B S"], mask: Bool[Tensor, "B S"], scoring: Scoring
) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S"] | None]:
    """What `label_scores` returns, from logits that exist already."""
    positions = mask.flatten().nonzero().squeeze(1)
    chosen = logits.flatten(0, 1).index_select(0, positions)
    return _placed(_scores(chosen, labels.flatten()[positions], scoring), mask)


def _placed(scores: tuple[Tensor, Tensor | None], mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """Values of the positions under the mask in its shape, zero elsewhere. No views, which FSDP2 warns of."""
    log_probs, entropies = scores
    return _spread(log_probs, mask), None if entropies is None else _spread(entropies, mask)


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    return values.new_zeros(mask.shape).index_put((mask,), values)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, fp32: bool) -> Tensor:
    logits = linear(hidden, weight, bias)
    return logits.float() if fp32 else logits


def _log_probs(product: Tensor, labels: Tensor, fp32: bool, softmax_dtype: torch.dtype | None) -> Tensor:
    return of_labels(log_softmax(product.float() if fp32 else product, softmax_dtype), labels)


def _scores(logits: Tensor, labels: Tensor, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
    """Of logits (N, V): log-probabilities of the labels (N), and entropies (N) if asked for."""
    log_probs = log_softmax(logits, scoring.softmax_dtype)
    return of_labels(log_probs, labels), entropy_of(log_probs.detach()) if scoring.entropy else None


class _InChunks(torch.autograd.Function):
    """`_scores` of so many positions at a time; weight and bias are passed for their gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        head: Head,
        scoring: Scoring,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(hidden, weight, bias, labels)
        ctx.head, ctx.scoring = head, scoring
        cast = head.cast()
        parts = zip(hidden.split(scoring.chunk), labels.split(scoring.chunk), strict=True)
        scores = [_scores(_logits(part, *cast, head.logits_fp32), wanted, scoring) for part, wanted in parts]
        log_probs, entropies = zip(*scores, strict=True)
        if not scoring.entropy:
            return torch.cat(log_probs), None
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(log_probs), entropy

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, labels = ctx.saved_tensors
        head, chunk = ctx.head, ctx.scoring.chunk
        cast, cast_bias = head.cast()
        wide = torch.promote_types(head.compute, torch.float32)
        total = torch.zeros(weight.shape, dtype=wide, device=weight.device)
        bias_total = None if bias is None else total.new_zeros(bias.shape)
        of_hidden = []
        parts = zip(hidden.split(chunk), labels.split(chunk), gradient.split(chunk), strict=True)
        for part, wanted, weights in parts:
            of_logits = _gradient_of_logits(linear(part, cast, cast_bias), wanted, weights, ctx)
            of_hidden.append(matmul(of_logits, cast))
            add_product(total, of_logits.T, part)
            if bias_total is not None:
                bias_total += of_logits.sum(0, dtype=wide)
        # Rounded as one product rounds it: into the dtype of the product, then into that of the weights.
        of_bias = None if bias_total is None else bias_total.to(head.compute).to(bias.dtype)
        return torch.cat(of_hidden), total.to(head.compute).to(weight.dtype), of_bias, None, None, None


def _gradient_of_logits(logits: Tensor, labels: Tensor, weights: Tensor, ctx: Any) -> Tensor:
    """Gradient, in the dtype of the product, of the log-probabilities' sum with these weights."""
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        # In one expression, so that no logits live beside the gradients but the leaf.
        log_probs = _log_probs(leaf, labels, ctx.head.logits_fp32, ctx.scoring.softmax_dtype)
    return torch.autograd.grad(log_probs, leaf, weights)[0]
