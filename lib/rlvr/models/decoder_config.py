"""The shape of a Qwen2- or Llama-family decoder, read from and written to Hugging Face's config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and switches; `qkv_bias`, `output_bias` and `mlp_bias` say which projections have a bias."""

    model_type: Literal["qwen2", "llama"]
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_size: int
    max_positions: int
    rope_theta: float
    rms_norm_eps: float
    tied_embeddings: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool

    @classmethod
    def from_hf(cls, raw: Mapping[str, Any]) -> Self | None:
        """The config of a model that `Decoder` computes, or None for any other architecture.

        Not ours: other model types, scaled RoPE, sliding windows, activations other than SiLU.
        """
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        if (
            raw.get("model_type") not in ARCHITECTURES
            or raw.get("hidden_act", "silu") != "silu"
            or raw.get("use_sliding_window", False)
            or set(raw.get("layer_types") or []) - {"full_attention"}
            or rope.get("rope_type", rope.get("type", "default")) != "default"
        ):
            return None
        heads = raw["num_attention_heads"]
        qwen2 = raw["model_type"] == "qwen2"
        return cls(
            model_type=raw["model_type"],
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads") or heads,
            head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
            mlp_size=raw["intermediate_size"],
            max_positions=raw["max_position_embeddings"],
            rope_theta=float(rope.get("rope_theta", raw.get("rope_theta", 10_000.0))),
            rms_norm_eps=raw.get("rms_norm_eps", 1e-6),
            tied_embeddings=raw.get("tie_word_embeddings", False),
            qkv_bias=qwen2 or raw.get("attention_bias", False),
            output_bias=not qwen2 and raw.get("attention_bias", False),
            mlp_bias=not qwen2 and raw.get("mlp_bias", False),
        )

    def to_hf(self) -> dict[str, Any]:
        """config.json of a new model of this shape (dtype and token ids are added on saving)."""
        config = {
            "architectures": [ARCHITECTURES[self.model_type]],
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.mlp_size,
            "max_position_embeddings": self.max_positions,
            # transformers 5 reads rope_parameters, earlier versions and other tools rope_theta.
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rms_norm_eps": self.rms_norm_eps,
            "tie_word_embeddings": self.tied_embeddings,
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            "use_cache": True,
        }
        if self.model_type == "llama":
            return config | {"attention_bias": self.output_bias, "mlp_bias": self.mlp_bias}
        return config | {"use_sliding_window": False}
