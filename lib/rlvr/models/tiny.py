"""From-scratch policies: a Qwen2-shaped decoder with normally distributed weights."""

import torch
from torch import nn

from rlvr.config.policy import ArchitectureConfig
from rlvr.errors import UserError
from rlvr.models.decoder_config import DecoderConfig


def decoder_config(architecture: ArchitectureConfig, tokens: int) -> DecoderConfig:
    """The Qwen2-family config of an architecture for a tokenizer of so many tokens.

    UserError when its sizes do not divide, or the tokens are more than `vocab_size`.
    """
    hidden, heads = architecture.hidden_size, architecture.heads
    if hidden % heads or (hidden // heads) % 2:
        raise UserError(
            f"base.architecture: hidden_size {hidden} must be an even multiple of heads {heads} "
            "(RoPE pairs the dimensions of a head)"
        )
    if heads % architecture.kv_heads:
        raise UserError(
            f"base.architecture: heads {heads} must be a multiple of kv_heads {architecture.kv_heads}"
        )
    rows = tokens if architecture.vocab_size is None else architecture.vocab_size
    if rows < tokens:
        raise UserError(
            f"base.architecture: vocab_size is {rows}, but the tokenizer has {tokens} tokens; "
            f"allowed: {tokens} or more"
        )
    return DecoderConfig(
        model_type="qwen2",
        vocab_size=rows,
        hidden_size=hidden,
        layers=architecture.layers,
        heads=heads,
        kv_heads=architecture.kv_heads,
        head_dim=hidden // heads,
        mlp_size=architecture.mlp_size,
        max_positions=architecture.max_positions,
        rope_theta=architecture.rope_theta,
        rms_norm_eps=architecture.rms_norm_eps,
        tied_embeddings=architecture.tied_embeddings,
        qkv_bias=True,
        output_bias=False,
        mlp_bias=False,
    )


def initialise(model: nn.Module, std: float, seed: int, device: str = "cpu") -> None:
    """Matrices from N(0, std²), norms one, biases zero, as transformers' default for this family.

    Drawn in fp32 in the order of the parameters: on the CPU, so that the model's device changes nothing, or
    on another `device`, for large models whose numbers do not matter.
    """
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, device=device) * std)
