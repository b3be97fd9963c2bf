"""The named modes are those of the plan of record."""

import subprocess
import sys

import pytest
import torch

from rlvr.precision import MODES, resolve_mode, torch_dtype


@pytest.mark.parametrize(
    ("name", "dtypes", "deterministic", "dropout"),
    [
        ("fp32", ("float32",) * 5, True, 0.0),
        ("bf16", ("bfloat16",) * 5, False, 0.3),
        ("bf16_mixed", ("float32", "float32", "bfloat16", "float32", "bfloat16"), False, 0.0),
    ],
)
def test_factors(name, dtypes, deterministic, dropout):
    mode = resolve_mode(name, dropout_rate=0.3)
    assert (mode.master, mode.optimizer_state, mode.compute, mode.reduce, mode.rollout) == dtypes
    assert (mode.evaluation, mode.deterministic, mode.dropout.rate) == ("float32", deterministic, dropout)
    assert mode.name == name


def test_dtype_names():
    assert {torch_dtype(mode.master) for mode in MODES.values()} == {torch.float32, torch.bfloat16}


def test_listing_modes_imports_no_torch():
    code = "import sys, rlvr.precision; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
