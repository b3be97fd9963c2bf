"""AdamW with fp32 arithmetic, whatever dtype the weights and moments are stored in."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, ParamSpec, TypeVar, cast, overload

import torch
from torch import Tensor

from rlvr.adam import AdamStep
from rlvr.buckets import flat, pieces, store, together
from rlvr.rounding import (
    STATE_DTYPES,
    WEIGHT_DTYPES,
    WriteBack,
    add_compensated,
    require_dtype,
    round_stochastically,
    stochastic_noise,
)
from rlvr.shards import copy_into, is_sharded, local, place
from rlvr.tracked_weights import TrackedWeights

# Elements that are updated together. On a CPU what an update reads and writes then stays in the cache from
# one operation to the next; elsewhere launches cost more than memory, and only fp32 copies are bounded.
_BUCKET_ELEMENTS = {"cpu": 2**17}
_BUCKET_ELEMENTS_ELSEWHERE = 2**24

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

TRACKED = ("intended", "start")  # what is kept of the tracked weights alone


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101, algorithm 2).

    Weights, gradients and moments are read into fp32, the step is computed in fp32 in the order of
    operations of `torch.optim.AdamW`, and the results are rounded into their storage dtypes: the moments
    into `state_dtype`, the weights into their own. On fp32 weights with fp32 state every bit equals
    `torch.optim.AdamW`'s. On bf16 weights it differs from torch's own, which also computes in bf16.

    `write_back` says how weights are rounded:

    - `nearest`, ties to even; the moments too, here and with `kahan`.
    - `stochastic`, bf16 weights: up or down without bias (`rlvr.rounding`), bf16 moments too. The random
      stream is a function of (`seed`, step, index of the parameter in the optimiser).
    - `kahan`, 16-bit weights: what rounding left out is kept in a buffer of the weights' dtype,
      `state["compensation"]`, and added to the next update (compensated summation, Kahan 1965,
      doi:10.1145/363707.363723; for weights: Zamirai et al. 2020, arXiv:2010.06192). With the buffer c and
      the update u: y = u + c; w' = round(w + y); c' = round(y − (w' − w)). Weight decay acts on w.

    `tracked` > 0: that many weights of every parameter, chosen by `seed` (all, if it has fewer), have their
    intended updates, in fp32 and before any rounding, summed up for `lost_update`.

    Parameters may be DTensors, divided among processes along their first dimension, as FSDP2 leaves them:
    each process updates its part, noise and tracked weights are those of the whole parameter, and
    `lost_update`, `second_moments_stuck` and `state_dict` are collectives.

    Raises ValueError for settings outside their range, and for dtypes that `write_back` cannot round into.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        state_dtype: torch.dtype = torch.float32,
        write_back: WriteBack = "nearest",
        seed: int = 0,
        tracked: int = 0,
    ):
        if lr < 0 or eps < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas) or tracked < 0:
            raise ValueError(
                f"AdamW needs lr, eps, weight_decay, tracked >= 0 and betas in [0, 1); got {lr=}, {eps=}, "
                f"{weight_decay=}, {tracked=}, {betas=}"
            )
        if write_back not in WEIGHT_DTYPES:
            raise ValueError(f"unknown write_back {write_back!r}; allowed: {', '.join(WEIGHT_DTYPES)}")
        require_dtype("state_dtype", state_dtype, STATE_DTYPES[write_back], write_back)
        self.state_dtype, self.write_back, self.seed = state_dtype, write_back, seed
        self.tracked = TrackedWeights(tracked, seed)
        self._index: dict[Tensor, int] = {}
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        # Saved with the state, since it is of use with the same tracked weights only.
        super().__init__(params, settings | {"tracking": (tracked, seed if tracked else 0)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's, without its decorator, which imports torch's compiler at the first call (1.5 s)."""
        _undecorated(torch.optim.Optimizer.add_param_group)(self, param_group)
        for parameter in self.param_groups[-1]["params"]:
            index = self._index[parameter] = len(self._index)
            require_dtype(
                f"parameter {index}", parameter.dtype, WEIGHT_DTYPES[self.write_back], self.write_back
            )
            if self.tracked.count:
                self.tracked.add(parameter, index)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's, without its decorator."""
        _undecorated(torch.optim.Optimizer.zero_grad)(self, set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, without its decorator; of divided parameters the tracked weights are all there."""
        saved = _undecorated(torch.optim.Optimizer.state_dict)(self)
        for parameter, index in self._index.items():
            if self.tracked.count and is_sharded(parameter) and index in saved["state"]:
                own = saved["state"][index]
                everywhere = {key: self.tracked.of_all_processes(parameter, own[key]) for key in TRACKED}
                saved["state"][index] = own | everywhere
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore everything exactly, in its own dtypes (torch's own casts it to the weights' dtype).

        Moments may be divided among processes as the parameters are, or whole. Raises ValueError for the
        state of an optimiser with other dtypes, write-back or tracking.
        """
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            if tuple(saved["tracking"]) != group["tracking"]:
                raise ValueError(
                    f"saved state has (tracked, seed) {tuple(saved['tracking'])}; this optimiser has "
                    f"{group['tracking']}"
                )
        for parameter, index in self._index.items():
            saved = state_dict["state"].get(index)
            found = saved and {key: value.dtype for key, value in saved.items() if key != "step"}
            if saved and found != self._state_dtypes(parameter):
                raise ValueError(
                    f"saved state of parameter {index} is {found}; this optimiser needs "
                    f"{self._state_dtypes(parameter)}"
                )
        settings = {"state": {}, "param_groups": state_dict["param_groups"]}
        _undecorated(torch.optim.Optimizer.load_state_dict)(self, settings)
        for parameter, index in self._index.items():
            if saved := state_dict["state"].get(index):
                tensors = {
                    key: self._restored(parameter, key, saved[key]) for key in self._state_dtypes(parameter)
                }
                self.state[parameter] = {"step": saved["step"], **tensors}

    def _restored(self, parameter: Tensor, key: str, saved: Tensor) -> Tensor:
        """A copy of what `state_dict` has saved, as far as this process keeps it."""
        if key in TRACKED:
            return self.tracked.of_this_process(parameter, saved)
        restored = torch.empty_like(parameter, dtype=saved.dtype, requires_grad=False)
        copy_into(restored, saved)
        return restored

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; a `closure` computes loss and gradients before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            active = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in active:
                self._begin_step(parameter)
            for (step, _, _), alike in groupby(active, key=self._alike):
                parameters, adam = list(alike), AdamStep.at_step(step, group)
                if self.tracked.count:
                    self._sum_intended(parameters, adam)
                for bucket in self._buckets(parameters):
                    self._update(bucket, adam)
        return loss

    def lost_update(self) -> float:
        """‖intended − applied‖ / ‖intended‖ of all steps so far, over the tracked weights.

        Intended: the sum of the fp32 updates; applied: stored weight now minus at the first step. 0: nothing
        is lost; 1: weights have not moved. With `kahan`, what the compensation buffer holds counts as lost.
        NaN before the first step. Raises ValueError if nothing is tracked.
        """
        if not self.tracked.count:
            raise ValueError("lost_update needs an AdamW with tracked > 0")
        moved = [parameter for parameter in self._index if parameter in self.state]
        if not moved:
            return math.nan
        intended, starts = ([self.state[parameter][key] for parameter in moved] for key in TRACKED)
        return self.tracked.lost(moved, intended, starts)

    def _alike(self, parameter: Tensor) -> tuple[int, torch.dtype, torch.device]:
        return self.state[parameter]["step"], parameter.dtype, parameter.device

    def _state_dtypes(self, parameter: Tensor) -> dict[str, torch.dtype]:
        dtypes = {"exp_avg": self.state_dtype, "exp_avg_sq": self.state_dtype}
        if self.write_back == "kahan":
            dtypes["compensation"] = parameter.dtype
        if self.tracked.count:
            dtypes |= dict.fromkeys(TRACKED, torch.float32)
        return dtypes

    def _begin_step(self, parameter: Tensor) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for key, dtype in self._state_dtypes(parameter).items():
                if key == "start":
                    state[key] = self.tracked.at(parameter, parameter).to(dtype, copy=True)
                elif key == "intended":
                    state[key] = torch.zeros_like(self.tracked.at(parameter, parameter), dtype=dtype)
                else:
                    state[key] = torch.zeros_like(parameter, dtype=dtype)
        state["step"] += 1

    def _sum_intended(self, parameters: list[Tensor], adam: AdamStep) -> None:
        """Add this step's fp32 updates of the tracked weights to `intended`, before the step is made."""

        def tracked(tensors: Iterable[Tensor]) -> Tensor:
            pairs = zip(parameters, tensors, strict=True)
            return torch.cat([self.tracked.at(parameter, tensor) for parameter, tensor in pairs]).float()

        states = [self.state[parameter] for parameter in parameters]
        first, second = (tracked(state[key] for state in states) for key in ("exp_avg", "exp_avg_sq"))
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        adam.update_moments([first], [second], [tracked(gradients)])
        update = tracked(parameters) * -adam.decay
        adam.add_steps([update], [first], [second])
        intended = [state["intended"] for state in states]
        torch._foreach_add_(intended, update.split([len(own) for own in intended]))

    def _buckets(self, parameters: list[Tensor]) -> Iterator[list[list[Tensor]]]:
        """What an update reads, in buckets of bounded size: lists of tensors with one piece each.

        In order: weights, gradients, first moments, second moments, and what the write-back needs besides.
        """
        limit = _BUCKET_ELEMENTS.get(parameters[0].device.type, _BUCKET_ELEMENTS_ELSEWHERE)
        every = (piece for parameter in parameters for piece in pieces(self._operands(parameter), limit))
        for bucket in together(every, lambda piece: piece[0].numel(), limit):
            yield [list(tensors) for tensors in zip(*bucket, strict=True)]

    def _operands(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """Tensors of the shape of the parameter's part in this process, see `_buckets`."""
        state = self.state[parameter]
        kept = ("exp_avg", "exp_avg_sq", *(("compensation",) if self.write_back == "kahan" else ()))
        operands = tuple(map(local, (parameter, parameter.grad, *(state[key] for key in kept))))
        if self.write_back == "stochastic":
            rounded = 1 if self.state_dtype == torch.float32 else 3
            return operands + self._noise(parameter, operands[0], rounded)
        return operands

    def _noise(self, parameter: Tensor, own: Tensor, count: int) -> tuple[Tensor, ...]:
        """`count` tensors of noise for the parameter's part `own`: cut from that of the whole parameter.

        So every process draws as much noise as a process alone, and a weight has the same noise on any number
        of processes.
        """
        step, index = self.state[parameter]["step"], self._index[parameter]
        noise = stochastic_noise(parameter.numel(), own.device, count, self.seed, step, index)
        return tuple(place(parameter).cut(every).view(own.shape) for every in noise)

    def _update(self, bucket: list[list[Tensor]], adam: AdamStep) -> None:
        weights, gradients, firsts, seconds, *others = bucket
        if weights[0].dtype == self.state_dtype == torch.float32:
            adam.update_moments(firsts, seconds, [gradient.float() for gradient in gradients])
            adam.decay_weights(weights)
            adam.add_steps(weights, firsts, seconds)
            return
        weight, gradient, first, second = (flat(tensors).float() for tensors in bucket[:4])
        adam.update_moments([first], [second], [gradient])
        if self.write_back == "kahan":
            update = flat(others[0]).float().add_(weight, alpha=-adam.decay)
            adam.add_steps([update], [first], [second])
            new, rest = add_compensated(weight, update, weights[0].dtype)
            store(others[0], rest)
        else:
            new = weight
            adam.decay_weights([new])
            adam.add_steps([new], [first], [second])
        results = [new, first, second]
        for index, noise in enumerate(others if self.write_back == "stochastic" else ()):
            results[index] = round_stochastically(results[index], flat(noise))
        for stored, result in zip((weights, firsts, seconds), results, strict=True):
            store(stored, result)


def _undecorated(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A method of torch's optimiser without its decorator, whose type does not tell of `__wrapped__`."""
    return cast(Callable[Parameters, Result], cast(Any, method).__wrapped__)
