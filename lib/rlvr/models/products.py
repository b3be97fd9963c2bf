"""Matrix products of 16-bit numbers, fast on CPUs without 16-bit arithmetic too.

A product of bfloat16 or float16 matrices is summed up in fp32 and rounded once, as matrix units of GPUs and
CPUs do it. torch computes it so, but on a CPU without such instructions thirty times slower than in fp32.
There the operands are widened, multiplied in fp32, and the result is rounded: the same numbers but for the
order of sums.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


@cache
def multiplied_in_float32(device_type: str, dtype: torch.dtype) -> bool:
    """Whether products of this dtype go through fp32 on this kind of device, for want of instructions."""
    if device_type != "cpu":
        return False
    if dtype == torch.bfloat16:
        return not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return dtype == torch.float16 and not torch.cpu._is_amx_fp16_supported()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b in the dtype of `x`, which is that of weight and bias; gradients likewise."""
    if not multiplied_in_float32(x.device.type, x.dtype):
        return functional.linear(x, weight, bias)
    wide_bias = None if bias is None else bias.float()
    return functional.linear(x.float(), weight.float(), wide_bias).to(x.dtype)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in their common dtype; gradients likewise."""
    if not multiplied_in_float32(a.device.type, a.dtype):
        return a @ b
    return (a.float() @ b.float()).to(a.dtype)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a @ b to `total`, in place, without rounding the product of 16-bit numbers before it is added."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    elif a.device.type == "cuda":
        total.add_(torch.mm(a, b, out_dtype=total.dtype))
    else:  # torch has such products on CUDA only
        total.addmm_(a.to(total.dtype), b.to(total.dtype))
