"""The named modes are those of the plan of record."""

import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from rlvr.precision import MODES, PrecisionMode, resolve_mode, torch_dtype


@pytest.mark.parametrize(
    ("name", "dtypes", "deterministic", "dropout"),
    [
        ("fp32", ("float32",) * 5, True, 0.0),
        ("bf16", ("bfloat16",) * 5, False, 0.3),
        ("bf16_mixed", ("float32", "float32", "bfloat16", "float32", "bfloat16"), False, 0.0),
        ("fp16_mixed", ("float32", "float32", "float16", "float32", "float16"), False, 0.0),
        ("bf16_fp32state", ("bfloat16", "float32", "bfloat16", "bfloat16", "bfloat16"), False, 0.0),
        ("bf16_sr", ("bfloat16",) * 5, False, 0.0),
        ("bf16_kahan", ("bfloat16",) * 5, False, 0.0),
    ],
)
def test_factors(name, dtypes, deterministic, dropout):
    mode = resolve_mode(name, dropout_rate=0.3, custom={})
    assert (mode.master, mode.optimizer_state, mode.compute, mode.reduce, mode.rollout) == dtypes
    assert (mode.evaluation, mode.deterministic, mode.dropout.rate) == ("float32", deterministic, dropout)
    assert mode.name == name
    assert mode.write_back == {"bf16_sr": "stochastic", "bf16_kahan": "kahan"}.get(name, "nearest")


def test_dtype_names():
    assert {torch_dtype(mode.master) for mode in MODES.values()} == {torch.float32, torch.bfloat16}


def test_listing_modes_imports_no_torch():
    code = "import sys, rlvr.precision; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"write_back": "stochastic"}, "write_back: stochastic rounds into bfloat16 .* allowed: nearest"),
        ({"write_back": "stochastic", "master": "float16"}, "write_back: .* allowed: nearest, kahan"),
        ({"write_back": "kahan"}, "write_back: kahan keeps what 16-bit weights lose"),
        ({"compute": "float16", "reduce": "bfloat16"}, "reduce: float16 compute scales .* allowed: float32"),
        ({"optimizer_state": "float16"}, "optimizer_state: float16 ends at 6e-8"),
        ({"importance_level": "sequence"}, "importance_level: sequence without an importance_cap"),
    ],
)
def test_impossible_combinations_are_named(factors, message):
    dtypes = dict.fromkeys(("master", "optimizer_state", "compute", "reduce", "rollout"), "float32")
    with pytest.raises(ValueError, match=f"mode odd: {message}"):
        PrecisionMode("odd", **dtypes | factors)


def test_a_custom_mode_is_its_factors():
    factors = {
        "master": "bfloat16", "optimizer_state": "float32", "compute": "bfloat16", "reduce": "float32",
        "rollout": "float16", "evaluation": "float32", "logits_fp32": False, "write_back": "kahan",
        "deterministic": False, "dropout": {"kind": "variance_preserving", "rate": 0.2},
        "importance_cap": 2.0, "importance_level": "sequence", "policy_ratio": "token",
        "gradient_noise": 0.01, "shuffle_reduction": True,
    }  # fmt: skip
    mode = resolve_mode("mine", 0.1, {"mine": factors})
    assert asdict(mode) == {"name": "mine", **factors}
