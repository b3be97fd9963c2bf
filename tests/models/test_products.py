"""Products of 16-bit matrices, through fp32 or native, are exact but for one rounding."""

import pytest
import torch
from torch.nn import functional

from rlvr.models import products
from rlvr.models.products import linear, matmul

SPACING = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}


@pytest.fixture(params=[True, False], ids=["widened", "native"])
def widened(request, monkeypatch):
    monkeypatch.setattr(products, "multiplied_in_float32", lambda *_: request.param)


def _near(found, expected, dtype):
    """One rounding of the result apart, and what cancellation in the sums leaves."""
    assert found.dtype == dtype
    wide, exact = found.double(), expected.double()
    assert ((wide - exact).abs() <= SPACING[dtype] * exact.abs() + 1e-2 * SPACING[dtype]).all()


def _draw(*shape, dtype, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", SPACING)
@pytest.mark.parametrize("biased", [True, False])
def test_linear_and_its_gradients_are_exact_but_for_one_rounding(widened, dtype, biased):
    x, weight = _draw(5, 7, dtype=dtype, seed=0), _draw(3, 7, dtype=dtype, seed=1)
    bias = _draw(3, dtype=dtype, seed=2) if biased else None
    upstream = _draw(5, 3, dtype=dtype, seed=3)
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias) if tensor is not None]
    found = linear(x, weight, bias)
    gradients = torch.autograd.grad(found, leaves, upstream)
    wide = [tensor.detach().double().requires_grad_() for tensor in leaves]
    exact = functional.linear(*wide)
    _near(found, exact, dtype)
    for gradient, expected in zip(
        gradients, torch.autograd.grad(exact, wide, upstream.double()), strict=True
    ):
        _near(gradient, expected, dtype)


@pytest.mark.parametrize("dtype", SPACING)
def test_matmul_and_its_gradients_are_exact_but_for_one_rounding(widened, dtype):
    a, b = (_draw(2, 4, 4, dtype=dtype, seed=seed).requires_grad_() for seed in (4, 5))
    upstream = _draw(2, 4, 4, dtype=dtype, seed=6)
    found = matmul(a, b)
    wide = [tensor.detach().double().requires_grad_() for tensor in (a, b)]
    exact = wide[0] @ wide[1]
    _near(found, exact, dtype)
    gradients = torch.autograd.grad(found, (a, b), upstream)
    for gradient, expected in zip(
        gradients, torch.autograd.grad(exact, wide, upstream.double()), strict=True
    ):
        _near(gradient, expected, dtype)


def test_fp32_and_other_devices_are_left_alone():
    assert not products.multiplied_in_float32("cpu", torch.float32)
    assert not products.multiplied_in_float32("cuda", torch.bfloat16)
