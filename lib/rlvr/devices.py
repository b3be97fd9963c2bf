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
    """UserError if the device cannot multiply matrices in one of the dtypes named."""
    for name in names:
        tensor = torch.ones(2, 2, dtype=getattr(torch, name), device=device)
        try:
            tensor @ tensor
        except RuntimeError as error:
            raise UserError(
                f"{describe_device(device)} cannot compute in {name} ({error}); choose a mode without it, or "
                "another device"
            ) from error


def arithmetic_identity(device: torch.device, names: Iterable[str]) -> str:
    """The device, and which of the dtypes named it multiplies through fp32: what decides a job's bits."""
    widened = sorted(n for n in set(names) if multiplied_in_float32(device.type, getattr(torch, n)))
    return " ".join([describe_device(device), *widened])


def describe_device(device: torch.device) -> str:
    """The device's name as people know it, for provenance."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
