"""Sparsity and movable fraction against definitions over whole code ranges."""

import math
import struct

import pytest
import torch

from rlvr.diagnostics import movable_fraction, update_sparsity
from rlvr.diagnostics.sparsity import relative_change


def _all_finite_bf16() -> torch.Tensor:
    codes = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    return codes[torch.isfinite(codes)]


def test_eta_is_inequality_over_all_finite_codes_and_their_neighbours():
    values = _all_finite_bf16()
    for direction in (math.inf, -math.inf):
        neighbours = torch.nextafter(values, torch.full_like(values, direction))
        finite = torch.isfinite(neighbours)
        assert update_sparsity(values[finite], neighbours[finite]) == 0.0
    assert update_sparsity(values, values.clone()) == 1.0


def test_signed_zeros_are_equal_and_fp32_is_rounded_to_bf16_first():
    assert update_sparsity(torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0 + 2**-10])) == 1.0
    assert update_sparsity(torch.tensor([1.0, 2.0]), torch.tensor([1.0 + 2**-7, 2.0])) == 0.5


def test_mappings_count_weights_not_tensors():
    before = {"a": torch.zeros(3), "b": torch.ones(1)}
    after = {"a": torch.zeros(3), "b": torch.full((1,), 2.0)}
    assert update_sparsity(before, after) == 0.75
    with pytest.raises(ValueError, match="names"):
        update_sparsity(before, {"a": torch.zeros(3)})
    with pytest.raises(ValueError, match="shapes"):
        update_sparsity(torch.zeros(2), torch.zeros(3))


def _round_to_bf16(value: float) -> float:
    """Round a double to bf16 once, ties to even, by exact integer arithmetic on the neighbours."""
    bits = struct.unpack(">I", struct.pack(">f", abs(value)))[0] & 0xFFFF0000
    below = struct.unpack(">f", struct.pack(">I", bits))[0]
    if below > abs(value):  # packing to fp32 had rounded up past a bf16 number
        bits -= 0x10000
        below = struct.unpack(">f", struct.pack(">I", bits))[0]
    above = struct.unpack(">f", struct.pack(">I", bits + 0x10000))[0]
    middle = (below + above) / 2
    up = abs(value) > middle or (abs(value) == middle and bits >> 16 & 1)
    return math.copysign(above if up else below, value)


@pytest.mark.parametrize("lr", [2**-9, 5e-5, 1e-6, 2**-20])
def test_movable_fraction_against_exact_rounding(lr):
    weights = (torch.randn(3000, generator=torch.Generator().manual_seed(0)) * 0.02).bfloat16()
    weights[:4] = torch.tensor([1.0, 1.0 + 2**-7, 0.25, 0.0])
    expected = sum(
        _round_to_bf16(w + lr) != w or _round_to_bf16(w - lr) != w for w in weights.double().tolist()
    )
    assert movable_fraction(weights, lr) == expected / len(weights)


def test_fp32_weights_can_all_move_where_bf16_cannot():
    weights = torch.full((10,), 0.02)
    assert movable_fraction(weights, 1e-6) == 1.0
    assert movable_fraction(weights.bfloat16(), 1e-6) == 0.0


def test_relative_change():
    assert relative_change({"a": torch.tensor([3.0, 4.0])}, {"a": torch.tensor([3.0, 4.5])}) == pytest.approx(
        0.1
    )
