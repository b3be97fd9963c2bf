"""The realised-dtype contract: a run has the dtypes that its mode names, or it stops."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rlvr.models.decoder import Attention, Embedding, Layer, Linear, Mlp, RMSNorm
from rlvr.precision import PrecisionMode, torch_dtype
from rlvr.shards import local

# Whatever carries activations in the decoder. Of a model from transformers the linear layers only: what its
# norms give under autocast is its own affair, and the next linear layer casts it.
LAYERS = (nn.Linear, Linear, RMSNorm, Embedding, Attention, Mlp, Layer)


class DtypeMismatch(RuntimeError):
    """A tensor does not have the dtype that the mode names."""


def require_dtypes(owner: str, factor: str, wanted: str, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raise DtypeMismatch, naming the tensor, unless there are tensors and every one has dtype `wanted`.

    Of a tensor that is divided among processes, the part of this one is looked at.
    `owner`: whose dtypes they are, for the message.
    """
    count = 0
    for name, tensor in named_tensors:
        count += 1
        found = local(tensor).dtype
        if found != torch_dtype(wanted):
            raise DtypeMismatch(f"{owner}: {factor} should be {wanted}, but {name} is {found}")
    if not count:
        raise DtypeMismatch(f"{owner}: no tensor to check for {factor}")


class DtypeContract:
    """Compares realised dtypes with the mode's and records them for provenance."""

    def __init__(self, mode: PrecisionMode):
        self.mode = mode
        self.realised: dict[str, str] = {}

    def check(self, factor: str, wanted: str, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """`require_dtypes` of one factor, which is then recorded as realised."""
        require_dtypes(f"mode {self.mode.name}", factor, wanted, named_tensors)
        self.realised[factor] = wanted

    def check_parameters(self, model: nn.Module) -> None:
        """Stored weights against `master`."""
        self.check("master", self.mode.master, model.named_parameters())

    def check_gradients(self, model: nn.Module) -> None:
        """Accumulated gradients against `reduce`."""
        gradients = ((n, p.grad) for n, p in model.named_parameters() if p.grad is not None)
        self.check("reduce", self.mode.reduce, gradients)

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Both Adam moments against `optimizer_state`, and Kahan's compensation against `master`."""

        def stored(*keys: str) -> Iterator[tuple[str, Tensor]]:
            for index, state in enumerate(optimizer.state.values()):
                yield from ((f"{key} of parameter {index}", state[key]) for key in keys)

        self.check("optimizer_state", self.mode.optimizer_state, stored("exp_avg", "exp_avg_sq"))
        if self.mode.write_back == "kahan":
            self.check("compensation", self.mode.master, stored("compensation"))

    def check_rollout(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """The engine's weights against `rollout`."""
        self.check("rollout", self.mode.rollout, named_tensors)

    @contextmanager
    def check_activations(self, model: nn.Module) -> Iterator[None]:
        """While active, record the output of every layer in `LAYERS`; on leaving, check them against
        `compute`.
        """
        outputs: list[tuple[str, Tensor]] = []
        hooks = [
            module.register_forward_hook(lambda _m, _i, output, name=name: outputs.append((name, output)))
            for name, module in model.named_modules()
            if isinstance(module, LAYERS)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.check("compute", self.mode.compute, ((f"output of {name}", out) for name, out in outputs))
