"""Stochastic rounding: both neighbours, the right chances, and what cannot be rounded."""

import math

import pytest
import torch

from rlvr.rounding import BF16_MAX, derived_generator, random_int16, round_stochastically

CPU = torch.device("cpu")
DRAWS = 1 << 16


def _every_noise() -> torch.Tensor:
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)


def _float(bits: int) -> float:
    return torch.tensor(bits, dtype=torch.int32).view(torch.float32).item()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "high", [0x0000, 0x0001, 0x007F, 0x0080, 0x3F80, 0x3FFF, 0x7F7E], ids=lambda high: f"{high:#06x}"
)
@pytest.mark.parametrize("low", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], ids=lambda low: f"{low:#06x}")
def test_over_all_noise_a_value_goes_up_as_often_as_its_dropped_bits_say(high, low, sign):
    """Exact: of the 2¹⁶ equally likely noise values, `low` carry. Subnormals and binade borders included."""
    value = sign * _float(high << 16 | low)
    rounded = round_stochastically(torch.full((DRAWS,), value), _every_noise()).float()
    nearer, farther = sign * _float(high << 16), sign * _float((high + 1) << 16)
    assert int((rounded == farther).sum()) == low
    assert int((rounded == nearer).sum()) == DRAWS - low


def test_drawn_noise_is_unbiased():
    """The mean of n roundings has standard error gap·√(p(1 − p)/n); |z| ≤ 4.5 for 64 values."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, generator=generator) * 0.02
    noise = random_int16(64 * DRAWS, derived_generator(CPU, "test", 1)).view(DRAWS, 64)
    rounded = round_stochastically(values.expand(DRAWS, 64).contiguous(), noise).double()
    below = (values.view(torch.int32) & ~0xFFFF).view(torch.float32).double()
    above = ((values.view(torch.int32) & ~0xFFFF) + 0x10000).view(torch.float32).double()
    share = (values.double() - below) / (above - below)
    error = (above - below).abs() * (share * (1 - share) / DRAWS).sqrt()
    assert ((rounded == below) | (rounded == above)).all()
    assert ((rounded.mean(0) - values.double()) / error).abs().max() <= 4.5


def test_every_bf16_value_is_kept():
    codes = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    values = codes.view(torch.bfloat16).float()
    noise = random_int16(DRAWS, derived_generator(CPU, "test", 2))
    for one in (noise, torch.full_like(noise, 2**15 - 1), torch.full_like(noise, -(2**15))):
        rounded = round_stochastically(values, one).float()
        assert torch.equal(rounded.isnan(), values.isnan())
        assert torch.equal(rounded[~values.isnan()], values[~values.isnan()])


def test_infinities_and_nan_of_any_payload_are_kept():
    nans = torch.tensor([0x7F800001, 0x7FFFFFFF, 0x7FC00000, -1, -0x7FFFFF], dtype=torch.int32)
    values = torch.cat([nans.view(torch.float32), torch.tensor([math.inf, -math.inf, 1.0])])
    for noise in (-(2**15), 0, 2**15 - 1):
        rounded = round_stochastically(values, torch.full((8,), noise, dtype=torch.int16)).float()
        assert rounded[:5].isnan().all()
        assert rounded[5:].tolist() == [math.inf, -math.inf, 1.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_beyond_the_largest_number_rounding_is_to_nearest(sign):
    for low in (1, 0x7FFF, 0x8000, 0xFFFF):
        value = torch.tensor(sign * _float(0x7F7F0000 | low))
        rounded = round_stochastically(value.expand(DRAWS).contiguous(), _every_noise())
        assert (rounded == value.bfloat16()).all()
        assert math.isinf(rounded[0]) == (low >= 0x8000)
    largest = torch.full((DRAWS,), sign * BF16_MAX)
    assert torch.equal(round_stochastically(largest, _every_noise()).float(), largest)


def test_rounding_nothing_gives_nothing():
    nothing = round_stochastically(torch.empty(0), torch.empty(0, dtype=torch.int16))
    assert nothing.shape == (0,) and nothing.dtype == torch.bfloat16


def test_a_longer_draw_starts_with_the_shorter_one():
    draws = [random_int16(count, derived_generator(CPU, "test", 3)) for count in (1, 5, 4096)]
    assert all(torch.equal(draw, draws[-1][: len(draw)]) for draw in draws)


def test_streams_depend_on_every_part_of_their_name():
    names = [("a", 0, 1), ("a", 1, 0), ("b", 0, 1), ("a", 0, 1, 0), ("a", 0, 12)]
    streams = [tuple(random_int16(8, derived_generator(CPU, *name)).tolist()) for name in names]
    assert len(set(streams)) == len(names)
    again = random_int16(8, derived_generator(CPU, *names[0]))
    assert tuple(again.tolist()) == streams[0]
