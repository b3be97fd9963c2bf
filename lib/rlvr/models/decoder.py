"""Qwen2- and Llama-family decoder in plain PyTorch, every cast in sight.

Weights are stored in `master` and cast to `compute` where they are used, so activations (the residual
stream included) are in `compute`, and gradients arrive in `master`. Parameter names are Hugging Face's.
Exceptions, as in transformers: RMSNorm's statistics, RoPE's angles and softmax are computed in fp32.
Batches are right-padded: positions count from 0, and the causal mask is enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlvr.models.attention import AttentionDropout, attend, rotary_table, rotate, training_kernel
from rlvr.models.cache import KvCache
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.label_scores import Head, Scoring, label_scores
from rlvr.models.policy_model import PolicyModel
from rlvr.models.products import linear
from rlvr.models.recomputation import recomputed


@dataclass(frozen=True)
class DecoderOutput:
    """`logits`: (B, S, vocabulary), fp32 or the compute dtype."""

    logits: Tensor


@dataclass(frozen=True)
class Context:
    """What every layer of one forward pass shares."""

    rotary: tuple[Tensor, Tensor]
    mask: Tensor | None
    dropout: AttentionDropout | None
    cache: KvCache | None


class Linear(nn.Module):
    """x Wᵀ + b, with weights cast to the dtype of x."""

    def __init__(self, inputs: int, outputs: int, bias: bool, master: torch.dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=master))
        self.bias = nn.Parameter(torch.empty(outputs, dtype=master)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last dimension."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return linear(x, self.weight.to(x.dtype), bias)


class RMSNorm(nn.Module):
    """Root-mean-square norm (arXiv:1910.07467): normalised in fp32, cast back, then scaled."""

    def __init__(self, size: int, eps: float, master: torch.dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, dtype=master))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        wide = x.float()
        normalised = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return self.weight.to(x.dtype) * normalised.to(x.dtype)


class Embedding(nn.Module):
    """Token embeddings; rows are gathered in `master` and then cast."""

    def __init__(self, tokens: int, size: int, master: torch.dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tokens, size, dtype=master))

    def forward(self, input_ids: Tensor, dtype: torch.dtype) -> Tensor:
        """Embed (B, S) ids as (B, S, size)."""
        return functional.embedding(input_ids, self.weight).to(dtype)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: DecoderConfig, index: int, master: torch.dtype):
        super().__init__()
        queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.index = index
        self.head_dim = config.head_dim
        self.q_proj = Linear(config.hidden_size, queries, config.qkv_bias, master)
        self.k_proj = Linear(config.hidden_size, keys, config.qkv_bias, master)
        self.v_proj = Linear(config.hidden_size, keys, config.qkv_bias, master)
        self.o_proj = Linear(queries, config.hidden_size, config.output_bias, master)

    def _heads(self, projected: Tensor) -> Tensor:
        """(B, S, H·D) as (B, H, S, D)."""
        return projected.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Mix (B, S, hidden) over positions."""
        queries = rotate(self._heads(self.q_proj(x)), context.rotary)
        keys = rotate(self._heads(self.k_proj(x)), context.rotary)
        values = self._heads(self.v_proj(x))
        if context.cache is not None:
            keys, values = context.cache.extend(self.index, keys, values)
        mixed = attend(queries, keys, values, context.mask, context.dropout)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """SwiGLU (arXiv:2002.05202)."""

    def __init__(self, config: DecoderConfig, master: torch.dtype):
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.mlp_size, config.mlp_bias, master)
        self.up_proj = Linear(config.hidden_size, config.mlp_size, config.mlp_bias, master)
        self.down_proj = Linear(config.mlp_size, config.hidden_size, config.mlp_bias, master)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Pre-norm attention and MLP, each with a residual connection.

    `recompute`: compute the layer again in the backward pass instead of keeping its activations.
    """

    def __init__(self, config: DecoderConfig, index: int, master: torch.dtype):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps, master)
        self.self_attn = Attention(config, index, master)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps, master)
        self.mlp = Mlp(config, master)
        self.recompute = False

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, S, hidden) to the same."""
        if not (self.recompute and torch.is_grad_enabled()):
            return self._transform(x, context)
        generator = None if context.dropout is None else context.dropout.generator
        return recomputed(self._transform, x, context, generator=generator)

    def _transform(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), context)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embeddings, layers and the last norm; its parameters' names start with `model.`."""

    def __init__(self, config: DecoderConfig, master: torch.dtype):
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size, master)
        self.layers = nn.ModuleList(Layer(config, index, master) for index in range(config.layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps, master)


class Decoder(PolicyModel):
    """The language model. Weights are uninitialised: load them, or see `rlvr.models.tiny`."""

    def __init__(
        self, config: DecoderConfig, master: torch.dtype, compute: torch.dtype, logits_fp32: bool = True
    ):
        super().__init__()
        self.config: DecoderConfig = config
        self.compute = compute
        self.logits_fp32 = logits_fp32
        self.end_ids = frozenset()  # see load_policy
        self.model = Trunk(config, master)
        self.lm_head = (
            None if config.tied_embeddings else Linear(config.hidden_size, config.vocab_size, False, master)
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    def attention_kernel(self, dropout: bool) -> str:
        """What computes attention in training, see `training_kernel`."""
        shape = (self.config.heads, self.config.kv_heads, self.config.head_dim)
        return training_kernel(*shape, self.compute, self.device, dropout)

    def hidden(
        self, input_ids: Tensor, dropout: AttentionDropout | None = None, cache: KvCache | None = None
    ) -> Tensor:
        """Last hidden states (B, S, hidden), normed; with a cache the tokens continue its rows."""
        length = input_ids.shape[1]
        if cache is None:
            positions, mask = torch.arange(length, device=input_ids.device)[None], None
        else:
            positions, mask = cache.positions(length), cache.mask(length)
        table = rotary_table(positions[:, None], self.config.head_dim, self.config.rope_theta, self.compute)
        context = Context(table, mask, dropout, cache)
        x = self.model.embed_tokens(input_ids, self.compute)
        for layer in self.model.layers:
            x = layer(x, context)
        return self.model.norm(x)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states: a product in the compute dtype, then fp32 if so configured."""
        if self.lm_head is None:
            logits = linear(hidden, self.model.embed_tokens.weight.to(hidden.dtype))
        else:
            logits = self.lm_head(hidden)
        return logits.float() if self.logits_fp32 else logits

    def forward(self, input_ids: Tensor, dropout: AttentionDropout | None = None) -> DecoderOutput:
        """Logits of right-padded (B, S) ids; dropout only where the caller trains."""
        return DecoderOutput(self.head(self.hidden(input_ids, dropout)))

    def logits_in_parts(self, input_ids: Tensor, mask: Tensor, positions: int) -> Iterator[Tensor]:
        """Logits (N, V) where `mask` (B, S) is true, row after row, of so many positions at a time."""
        for part in self.hidden(input_ids)[mask].split(positions):
            yield self.head(part)

    def label_scores(
        self,
        input_ids: Tensor,
        labels: Tensor,
        mask: Tensor,
        scoring: Scoring,
        dropout: AttentionDropout | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities (B, S) of the labels, and entropies if asked for, where `mask` is true.

        As of `forward`'s logits, which do not exist anywhere else; see `rlvr.models.label_scores`.
        """
        weight = (self.model.embed_tokens if self.lm_head is None else self.lm_head).weight
        head = Head(weight, None, self.compute, self.logits_fp32)
        return label_scores(head, self.hidden(input_ids, dropout), labels, mask, scoring)
