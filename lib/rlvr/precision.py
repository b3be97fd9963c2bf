"""Precision modes: every floating-point factor of a run, and the noises that can stand in for one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import torch

DtypeName = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Dropout:
    """Dropout on attention probabilities, in the training forward only.

    `standard` scales what is kept by 1/(1 − rate), which keeps the mean. `variance_preserving` scales it by
    1/√(1 − rate), which keeps the variance of zero-mean inputs only, and never the mean: attention
    probabilities are all positive, so it multiplies their mean by √(1 − rate).
    """

    kind: Literal["standard", "variance_preserving"] = "standard"
    rate: float = 0.0


@dataclass(frozen=True)
class PrecisionMode:
    """The factors of one arm (docs/modes.md has them as a table).

    `master`: stored weights; `optimizer_state`: Adam moments; `compute`: training forward and backward;
    `reduce`: gradients as accumulated; `rollout`: the engine's weights and arithmetic; `evaluation`: weights
    when scored. `logits_fp32`: softmax over the vocabulary in fp32. `write_back`: how an update is rounded
    into `master`. `deterministic`: only kernels that repeat bit for bit. Training with `compute` float16
    scales the loss dynamically.

    Rollouts and training may compute different probabilities. `importance_cap` C corrects for it: null does
    not; with `importance_level` token each token's loss is weighted by min(π/μ, C) (truncated importance
    sampling), with sequence by the whole response's π/μ, and by 0 where that exceeds C (masked importance
    sampling); π is the trainer's policy before the step, μ the engine's. `policy_ratio` sequence replaces the
    token ratios of the clipped objective by the response's length-normalised one (GSPO).

    Two noises stand in for rounding: `gradient_noise` ε multiplies every entry of an update's gradient by
    1 + ε·N(0, 1); `shuffle_reduction` adds up the microbatches of an update in random order. Both are drawn
    anew for each repeat of a seed.

    A combination that cannot be computed raises a ValueError that names the factor and what is allowed.
    """

    name: str
    master: DtypeName
    optimizer_state: Literal["float32", "bfloat16"]
    compute: DtypeName
    reduce: DtypeName
    rollout: DtypeName
    evaluation: DtypeName = "float32"
    logits_fp32: bool = True
    write_back: Literal["nearest", "stochastic", "kahan"] = "nearest"
    deterministic: bool = False
    dropout: Dropout = Dropout()
    importance_cap: float | None = None
    importance_level: Literal["token", "sequence"] = "token"
    policy_ratio: Literal["token", "sequence"] = "token"
    gradient_noise: float = 0.0
    shuffle_reduction: bool = False

    @property
    def logits(self) -> DtypeName:
        """The dtype of the logits and of the softmax over them."""
        return "float32" if self.logits_fp32 else self.compute

    def __post_init__(self) -> None:
        faults = [
            f"{factor}: {wrong}; allowed: {allowed}" for factor, wrong, allowed in faults_of(vars(self))
        ]
        if faults:
            raise ValueError(f"mode {self.name}: " + "; ".join(faults))


def faults_of(factors: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Combinations of factors that no run can have: (factor, what is wrong, what is allowed) each."""
    master, write_back = factors["master"], factors["write_back"]
    if write_back == "stochastic" and master != "bfloat16":
        allowed = "nearest, kahan" if master == "float16" else "nearest"
        yield "write_back", f"stochastic rounds into bfloat16 weights, but master is {master}", allowed
    if write_back == "kahan" and master == "float32":
        yield (
            "write_back",
            "kahan keeps what 16-bit weights lose, but master is float32, which loses nothing here",
            "nearest",
        )
    if factors["optimizer_state"] == "float16":
        wrong = "float16 ends at 6e-8, so second moments of gradients below 2e-4 vanish"
        yield "optimizer_state", wrong, "float32, bfloat16"
    if factors["compute"] == "float16" and factors["reduce"] != "float32":
        wrong = f"float16 compute scales the loss, and the scaled sum does not fit {factors['reduce']}"
        yield "reduce", wrong, "float32"
    if factors["importance_cap"] is None and factors["importance_level"] == "sequence":
        yield "importance_level", "sequence without an importance_cap does nothing", "token, or set a cap"


# The rate is a choice of this project; `precision.dropout_rate` in the config replaces it.
DEFAULT_DROPOUT_RATE = 0.1


_FP32: Final = "float32"
_BF16: Final = "bfloat16"
_FP16: Final = "float16"

MODES: dict[str, PrecisionMode] = {
    mode.name: mode
    for mode in (
        # Dtypes in the order master, optimizer_state, compute, reduce, rollout.
        PrecisionMode("fp32", _FP32, _FP32, _FP32, _FP32, _FP32, deterministic=True),
        PrecisionMode(
            "bf16", _BF16, _BF16, _BF16, _BF16, _BF16, dropout=Dropout("standard", DEFAULT_DROPOUT_RATE)
        ),
        PrecisionMode("bf16_mixed", _FP32, _FP32, _BF16, _FP32, _BF16),
        PrecisionMode("fp16_mixed", _FP32, _FP32, _FP16, _FP32, _FP16),
        PrecisionMode("bf16_fp32state", _BF16, _FP32, _BF16, _BF16, _BF16),
        PrecisionMode("bf16_sr", _BF16, _BF16, _BF16, _BF16, _BF16, write_back="stochastic"),
        PrecisionMode("bf16_kahan", _BF16, _BF16, _BF16, _BF16, _BF16, write_back="kahan"),
    )
}


def resolve_mode(name: str, dropout_rate: float, custom: Mapping[str, Mapping[str, Any]]) -> PrecisionMode:
    """The mode of that name: a named one, its dropout (where it has one) at `dropout_rate`, or a custom one.

    `custom` is the config's section `precision.custom_modes`: every factor of each mode.
    """
    if name in custom:
        factors = dict(custom[name])
        return PrecisionMode(name, dropout=Dropout(**factors.pop("dropout")), **factors)
    mode = MODES[name]
    if mode.dropout.rate == 0.0:
        return mode
    return replace(mode, dropout=replace(mode.dropout, rate=dropout_rate))


def torch_dtype(name: str) -> "torch.dtype":
    """The torch dtype of a dtype's name; imported on call, so that listing modes needs no torch."""
    import torch

    return getattr(torch, name)
