"""The realised-dtype contract: a run has the dtypes that its mode names, or it stops."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rlvr.models.decoder import Linear
from rlvr.precision import PrecisionMode, torch_dtype


class DtypeMismatch(RuntimeError):
    """A tensor does not have the dtype that the mode names."""


class DtypeContract:
    """Compares realised dtypes with the mode's and records them for provenance."""

    def __init__(self, mode: PrecisionMode):
        self.mode = mode
        self.realised: dict[str, str] = {}

    def check(self, factor: str, wanted: str, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Raise DtypeMismatch, naming the tensor, unless every one has dtype `wanted`."""
        count = 0
        for name, tensor in named_tensors:
            count += 1
            if tensor.dtype != torch_dtype(wanted):
                raise DtypeMismatch(
                    f"mode {self.mode.name}: {factor} should be {wanted}, but {name} is {tensor.dtype}"
                )
        if not count:
            raise DtypeMismatch(f"mode {self.mode.name}: no tensor to check for {factor}")
        self.realised[factor] = wanted

    def check_parameters(self, model: nn.Module) -> None:
        """Stored weights against `master`."""
        self.check("master", self.mode.master, model.named_parameters())

    def check_gradients(self, model: nn.Module) -> None:
        """Accumulated gradients against `reduce`."""
        gradients = ((n, p.grad) for n, p in model.named_parameters() if p.grad is not None)
        self.check("reduce", self.mode.reduce, gradients)

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Both Adam moments against `optimizer_state`."""
        moments = (
            (f"{key} of parameter {index}", state[key])
            for index, state in enumerate(optimizer.state.values())
            for key in ("exp_avg", "exp_avg_sq")
        )
        self.check("optimizer_state", self.mode.optimizer_state, moments)

    def check_rollout(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """The engine's weights against `rollout`."""
        self.check("rollout", self.mode.rollout, named_tensors)

    @contextmanager
    def check_activations(self, model: nn.Module) -> Iterator[None]:
        """While active, record the output of every linear layer; on leaving, check them against `compute`."""
        outputs: list[tuple[str, Tensor]] = []
        hooks = [
            module.register_forward_hook(lambda _m, _i, output, name=name: outputs.append((name, output)))
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | Linear)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.check("compute", self.mode.compute, ((f"output of {name}", out) for name, out in outputs))
