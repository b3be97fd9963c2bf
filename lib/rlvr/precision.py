"""Precision modes: every floating-point factor of a run, by name."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

DtypeName = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Dropout:
    """Dropout on attention probabilities, in the training forward only."""

    kind: Literal["standard"] = "standard"
    rate: float = 0.0


@dataclass(frozen=True)
class PrecisionMode:
    """The dtypes and switches of one arm (DESIGN: the table of factors).

    `master`: stored weights; `optimizer_state`: Adam moments; `compute`: training forward and backward;
    `reduce`: gradients as accumulated; `rollout`: the engine's weights; `evaluation`: weights when scored.
    `logits_fp32`: softmax over the vocabulary in fp32. `write_back`: how an update is rounded into `master`.
    """

    name: str
    master: DtypeName
    optimizer_state: DtypeName
    compute: DtypeName
    reduce: DtypeName
    rollout: DtypeName
    evaluation: DtypeName = "float32"
    logits_fp32: bool = True
    write_back: Literal["nearest"] = "nearest"
    deterministic: bool = False
    dropout: Dropout = Dropout()


def _mode(name: str, dtypes: str, **switches: object) -> PrecisionMode:
    """Mode from its dtypes in the order master, optimizer_state, compute, reduce, rollout."""
    return PrecisionMode(name, *dtypes.split(), **switches)


# The rate is a choice of this project; `precision.dropout_rate` in the config replaces it.
DEFAULT_DROPOUT_RATE = 0.1

MODES: dict[str, PrecisionMode] = {
    mode.name: mode
    for mode in (
        _mode("fp32", "float32 float32 float32 float32 float32", deterministic=True),
        _mode(
            "bf16",
            "bfloat16 bfloat16 bfloat16 bfloat16 bfloat16",
            dropout=Dropout("standard", DEFAULT_DROPOUT_RATE),
        ),
        _mode("bf16_mixed", "float32 float32 bfloat16 float32 bfloat16"),
    )
}


def resolve_mode(name: str, dropout_rate: float) -> PrecisionMode:
    """The named mode, its dropout (where it has one) at `dropout_rate`."""
    mode = MODES[name]
    if mode.dropout.rate == 0.0:
        return mode
    return replace(mode, dropout=replace(mode.dropout, rate=dropout_rate))


def torch_dtype(name: str) -> "torch.dtype":
    """The torch dtype of a dtype's name; imported on call, so that listing modes needs no torch."""
    import torch

    return getattr(torch, name)
