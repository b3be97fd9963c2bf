"""Which layer and which kind of matrix a weight belongs to, from its Hugging Face name."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["embedding", "head", "q", "k", "v", "o", "gate", "up", "down", "norm", "bias", "other"]

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_MODULES: dict[str, Kind] = {
    "embed_tokens": "embedding",
    "lm_head": "head",
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "o_proj": "o",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
}


@dataclass(frozen=True)
class TensorKind:
    """`layer`: index of the decoder layer, None outside the layers; `kind`: what the weight does in it."""

    layer: int | None
    kind: Kind


def tensor_kind(name: str) -> TensorKind:
    """Layer and kind of a weight of the Qwen2 and Llama family; a name of another family gives "other".

    A bias is a "bias" whatever it is added to; a norm is any module whose name ends in "norm".
    """
    layer = _LAYER.search(name)
    module, _, parameter = name.rpartition(".")
    module = module.rpartition(".")[2]
    if parameter == "bias":
        kind: Kind = "bias"
    elif parameter == "weight" and module.endswith("norm"):
        kind = "norm"
    else:
        kind = _MODULES.get(module, "other") if parameter == "weight" else "other"
    return TensorKind(int(layer[1]) if layer else None, kind)
