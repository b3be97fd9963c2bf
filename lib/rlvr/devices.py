"""Which device a job computes on."""

import torch

from rlvr.errors import UserError


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


def describe_device(device: torch.device) -> str:
    """The device's name as people know it, for provenance."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
