"""Rotary positions, grouped-query attention, and dropout on attention probabilities."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend

from rlvr.models.products import matmul
from rlvr.precision import Dropout

# Up to this length the explicit form trains faster on a CPU in 16-bit dtypes than torch's fused kernel, whose
# backward is slow there (bench/decoder.py); both dtypes take it, so that they are compared like with like.
# Without dropout the choice looks at device, dtype and shape only, so that a forward with gradients and one
# without take the same path and give the same log-probabilities. With dropout the form is always the explicit
# one, whose rounding may differ from the fused kernel's.
SHORT = 128


@dataclass(frozen=True)
class AttentionDropout:
    """Dropout for one training forward; masks are drawn from `generator` (on the model's device)."""

    dropout: Dropout
    generator: torch.Generator

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Zero each fp32 entry with probability `rate` and scale the others, as the kind says.

        In fp32, because the factor has no exact bf16: rounded first, it would shrink the mean of every entry
        alike (by 0.16 % at rate 0.1); rounding the scaled entries errs in both directions.
        """
        keep = 1.0 - self.dropout.rate
        kept = torch.empty_like(probabilities, dtype=torch.bool, requires_grad=False)
        kept.bernoulli_(keep, generator=self.generator)
        scale = keep if self.dropout.kind == "standard" else math.sqrt(keep)
        return probabilities.masked_fill(~kept, 0.0) / scale


def rotary_table(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines (…, S, head_dim) of RoPE (Su et al. 2021, arXiv:2104.09864), computed in fp32.

    `positions`: integers (…, S). As in transformers, the table is cast to the activations' dtype.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim
    angles = positions.float().unsqueeze(-1) * (1.0 / theta**exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(heads: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Apply RoPE to (B, H, S, D): the first half of D is paired with the second."""
    cosines, sines = table
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: AttentionDropout | None
) -> Tensor:
    """Grouped-query attention of queries (B, H, S, D) over keys and values (B, K, L, D), H a multiple of K.

    `mask`: boolean (B, 1, S, L), true where a query may look, or None for the causal mask (then S = L).
    """
    short = queries.device.type == "cpu" and queries.element_size() == 2 and keys.shape[2] <= SHORT
    if dropout is not None or short:
        return _attend_explicitly(queries, keys, values, mask, dropout)
    if queries.device.type == "cpu":
        return functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
        )
    return attend_on_gpu(queries, keys, values, mask)


def attend_on_gpu(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """`attend` in the forms for which torch has fused kernels on GPUs.

    With a mask or in fp32 it has none for queries that share key heads: it would write all scores to memory,
    in fp32 training for the backward pass too.
    """
    batch, heads, length, head_dim = queries.shape
    sharing = heads // keys.shape[1]
    if mask is not None and length == 1:  # one step of decoding: the queries that share a key head as rows
        stacked = queries.reshape(batch, -1, sharing, head_dim)
        mixed = functional.scaled_dot_product_attention(
            stacked, keys, values, attn_mask=mask.expand(-1, -1, sharing, -1)
        )
        return mixed.reshape(queries.shape)
    if mask is not None or queries.dtype == torch.float32:
        keys, values = (shared.repeat_interleave(sharing, dim=1) for shared in (keys, values))
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )


def _attend_explicitly(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: AttentionDropout | None
) -> Tensor:
    """The textbook form, as transformers' eager path: scores in the activations' dtype, softmax in fp32.

    Dropout is in fp32 too, before the probabilities are cast back.
    """
    batch, heads, length, head_dim = queries.shape
    groups, slots = keys.shape[1], keys.shape[2]
    if mask is None:
        mask = torch.ones(length, slots, dtype=torch.bool, device=queries.device).tril()[None, None]
    grouped = queries.reshape(batch, groups, -1, head_dim)  # the queries that share one key head, stacked
    if queries.dtype == torch.float16:  # large products would overflow before they are scaled
        scores = matmul(grouped / math.sqrt(head_dim), keys.transpose(2, 3))
    else:
        scores = matmul(grouped, keys.transpose(2, 3)) / math.sqrt(head_dim)
    scores = scores.view(batch, groups, heads // groups, length, slots)
    scores = scores.masked_fill(~mask.unsqueeze(2), float("-inf"))
    probabilities = scores.softmax(dim=-1, dtype=torch.float32)
    if dropout is not None:
        probabilities = dropout(probabilities)
    probabilities = probabilities.to(queries.dtype)
    mixed = matmul(probabilities.view(batch, groups, -1, slots), values)
    return mixed.view(batch, heads, length, head_dim)


def training_kernel(
    heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device, dropout: bool
) -> str:
    """How a training pass computes attention, in words: `explicit` or the kernel that torch chooses."""
    if dropout:
        return "explicit"
    widened = device.type != "cpu" and dtype == torch.float32  # see attend_on_gpu
    queries, keys = (
        torch.empty(1, number, SHORT + 1, head_dim, dtype=dtype, device=device, requires_grad=True)
        for number in (heads, heads if widened else kv_heads)
    )
    chosen = torch._fused_sdp_choice(queries, keys, keys, None, 0.0, True, enable_gqa=True)
    kernel = SDPBackend(chosen).name.lower()
    short = device.type == "cpu" and dtype.itemsize == 2
    return f"explicit up to {SHORT} positions, then {kernel}" if short else kernel
