"""The sizes of a policy before it is loaded: from its config.json, its section of the config, or its name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.errors import UserError
from rlvr.hub import HUB_ID
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.weight_files import CONFIG_FILE

_QWEN2 = {"model_type": "qwen2", "num_hidden_layers": 28, "max_position_embeddings": 4096}
# The config.json of these hub repositories, for plans on machines that have not fetched them.
KNOWN_SHAPES: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-Math-7B": _QWEN2
    | {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2.5-Math-1.5B": _QWEN2
    | {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
}


@dataclass(frozen=True)
class PolicyShape:
    """A policy's sizes, and in `source` where they were read. `folder`: its files, if they are here."""

    name: str
    source: str
    sizes: DecoderConfig
    folder: Path | None

    @property
    def parameters(self) -> int:
        """All weights."""
        return sum(tensor_sizes(self.sizes))


def layer_sizes(sizes: DecoderConfig) -> list[int]:
    """Elements of each weight tensor of one layer."""
    hidden, mlp = sizes.hidden_size, sizes.mlp_size
    queries, keys = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    tensors = [hidden * queries, hidden * keys, hidden * keys, queries * hidden, *[hidden * mlp] * 3]
    tensors += [queries, keys, keys] * sizes.qkv_bias + [hidden] * sizes.output_bias
    return tensors + [mlp, mlp, hidden] * sizes.mlp_bias + [hidden, hidden]


def tensor_sizes(sizes: DecoderConfig) -> list[int]:
    """Elements of each weight tensor: layers, embeddings (and head, if it is not tied to them), last norm."""
    embeddings = [sizes.vocab_size * sizes.hidden_size] * (1 if sizes.tied_embeddings else 2)
    return layer_sizes(sizes) * sizes.layers + embeddings + [sizes.hidden_size]


def policy_shape(key: str, base: Mapping[str, Any], built: Path, model_config: str | None) -> PolicyShape:
    """Sizes of the policy of config section `key`.

    `model_config`: a config.json that a person named; it goes before everything else, and is refused for a
    policy that is trained here. `built`: where the workflow puts this policy. UserError that names what to
    give, where no sizes are at hand.
    """
    folder = built if (built / CONFIG_FILE).is_file() else None
    if base["kind"] == "tiny":
        if model_config:
            wrong = (
                f"argument --model-config: {model_config}: {key} is trained here, its sizes are the config's"
            )
            raise UserError(f"{wrong} ({key}.architecture); allowed with {key}.kind pretrained")
        return PolicyShape(f"{key} (tiny)", f"{key}.architecture", _tiny_sizes(base), folder)
    name = base["path"]
    folder = folder or _fetched(base)
    file = Path(model_config) if model_config else folder / CONFIG_FILE if folder else None
    if file is not None:
        return PolicyShape(name, str(file), _read_sizes(file), folder)
    if name in KNOWN_SHAPES:
        return PolicyShape(name, "sizes known by name", _of_decoder(KNOWN_SHAPES[name]), None)
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{key}.path: {name}: no such folder, and no hub id (owner/name)")
    raise UserError(
        f"{key}.path: the sizes of {name} are not known, because its config.json is not here; give that file "
        f"with --model-config, or fetch the policy first (known by name: {', '.join(KNOWN_SHAPES)})"
    )


def _of_decoder(raw: Mapping[str, Any]) -> DecoderConfig:
    sizes = DecoderConfig.from_hf(raw)
    assert sizes is not None, "these sizes are those of a decoder"
    return sizes


def _tiny_sizes(base: Mapping[str, Any]) -> DecoderConfig:
    from rlvr.models.tokenizers import small_tokenizer

    shape = base["architecture"]
    return _of_decoder(
        {
            "model_type": "qwen2",
            "vocab_size": shape.get("vocab_size") or len(small_tokenizer(base["tokenizer"])),
            "hidden_size": shape["hidden_size"],
            "num_hidden_layers": shape["layers"],
            "num_attention_heads": shape["heads"],
            "num_key_value_heads": shape["kv_heads"],
            "intermediate_size": shape["mlp_size"],
            "max_position_embeddings": shape["max_positions"],
            "tie_word_embeddings": shape["tied_embeddings"],
        }
    )


def _fetched(base: Mapping[str, Any]) -> Path | None:
    """A local folder, or that of a hub id in the hub cache; nothing is fetched."""
    from huggingface_hub import try_to_load_from_cache

    if Path(base["path"]).is_dir():
        return Path(base["path"])
    if not HUB_ID.fullmatch(base["path"]):  # the hub's client refuses to look it up
        return None
    found = try_to_load_from_cache(base["path"], CONFIG_FILE, revision=base["revision"])
    return Path(found).parent if isinstance(found, str) else None


def _read_sizes(file: Path) -> DecoderConfig:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        sizes = DecoderConfig.from_hf(raw)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: is not valid JSON: {error}") from error
    except KeyError as error:
        raise UserError(f"{file}: has no {error}, which the sizes of a model need") from error
    if sizes is None:
        wrong = f"model_type {raw.get('model_type', '(none)')} with its settings"
        allowed = "the Qwen2 and Llama families with plain RoPE and SiLU"
        raise UserError(
            f"{file}: {wrong} is not planned for; allowed: {allowed}. (Other models are trained through "
            "transformers, without the dropout of mode bf16: set precision.dropout_rate to 0 for them)"
        )
    return sizes
