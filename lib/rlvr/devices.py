"""Which device a job computes on."""

from collections.abc import Iterable

import torch

from rlvr.errors import UserError
from rlvr.models.products import multiplied_in_float32


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a GPU and else the CPU; `cuda` without a GPU raises UserError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device: cuda, but torch finds no CUDA device: set device to auto or cpu, or install a CUDA "
            f"build of torch (this one is {torch.__version__})"
        )
    return torch.device(name)


def check_dtypes(device: torch.device, names: Iterable[str]) -> None:
    """UserError if the device cannot multiply matrices in one of the dtypes named.

    Nor may it round the operands of fp32 products to TF32, which environment variables can make a GPU do
    whatever torch is told.
    """
    for name in names:
        tensor = torch.ones(2, 2, dtype=getattr(torch, name), device=device)
        try:
            tensor @ tensor
        except RuntimeError as error:
            raise UserError(
                f"{describe_device(device)} cannot compute in {name} ({error}); choose a mode without it, or "
                "another device"
            ) from error
        if name == "float32" and not multiplies_fp32_exactly(device):
            raise UserError(
                f"{describe_device(device)} rounds fp32 operands to TF32 in products; unset "
                "NVIDIA_TF32_OVERRIDE and TORCH_ALLOW_TF32_CUBLAS_OVERRIDE in the environment of the job"
            )


def multiplies_fp32_exactly(device: torch.device) -> bool:
    """Whether a product keeps operands of 13 significant bits after the first, three more than TF32 does."""
    operand = torch.full((128, 128), 1 + 2.0**-13, device=device)
    return torch.equal(operand @ torch.eye(128, device=device), operand)


def arithmetic_identity(device: torch.device, names: Iterable[str]) -> str:
    """The device, and which of the dtypes named it multiplies through fp32: what decides a job's bits."""
    widened = sorted(n for n in set(names) if multiplied_in_float32(device.type, getattr(torch, n)))
    return " ".join([describe_device(device), *widened])


def describe_device(device: torch.device) -> str:
    """The device's name as people know it, for provenance."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
