"""Two policies whose weights should be the same."""

import math
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rlvr.errors import UserError
from rlvr.models.weight_files import weight_files
from rlvr.reproduction.comparison import Comparison, Parting


class _Stored:
    """The weights of a policy folder, read one at a time in the order of the model."""

    def __init__(self, folder: Path):
        self._files: dict[str, Path] = {}
        for path in weight_files(folder):
            with safe_open(path, framework="pt") as file:
                self._files |= dict.fromkeys(file.keys(), path)

    def names(self) -> list[str]:
        """Layer 2 comes before layer 10."""
        return sorted(
            self._files, key=lambda name: [int(p) if p.isdigit() else p for p in _PARTS.split(name)]
        )

    def read(self, name: str) -> Tensor | None:
        if name not in self._files:
            return None
        with safe_open(self._files[name], framework="pt") as file:
            return file.get_tensor(name)


_PARTS = re.compile(r"(\d+)")


def compare_weights(
    name: str, ours: Path, theirs: Path, start: Path | None, tolerance: float, step: int | None = None
) -> Comparison:
    """Compare all tensors of two policy folders, `theirs` being the reference.

    Equal within rounding: ‖ours − theirs‖ ≤ tolerance · ‖theirs − start‖ over all weights together, so that a
    difference counts by what training has changed since `start` (zero if there is none). Against the weights
    themselves another seed at a small learning rate would pass for rounding.
    A policy that cannot be read is different. `step`: of the training after which both were saved.
    """
    try:
        return _compare(
            name, _Stored(ours), _Stored(theirs), _Stored(start) if start else None, tolerance, step
        )
    except (UserError, SafetensorError) as error:
        unreadable = Parting(f"unreadable: {error}", step)
        return Comparison(name, unreadable, unreadable)


def _compare(
    name: str, ours: _Stored, theirs: _Stored, start: _Stored | None, tolerance: float, step: int | None
) -> Comparison:
    first: Parting | None = None
    difference = update = 0.0
    for tensor in dict.fromkeys([*theirs.names(), *ours.names()]):
        one, other = ours.read(tensor), theirs.read(tensor)
        unlike = _unlike(one, other)
        if unlike or one is None or other is None:
            parting = Parting(f"{tensor}: {unlike}", step)
            return Comparison(name, first or parting, parting)
        changed = _unequal_bits(one, other)
        if changed:
            first = first or Parting(f"{tensor}: {changed} of {one.numel()} weights", step)
        before = start.read(tensor) if start else None
        difference += _squares(one, other)
        update += _squares(other, torch.zeros_like(other) if before is None else before)
    if math.sqrt(difference) <= tolerance * math.sqrt(update):
        return Comparison(name, first)
    of = "change by training" if start else "weights"
    share = f"{math.sqrt(difference / update):.1e}" if update else "all"
    return Comparison(name, first, Parting(f"difference {share} of the {of}, allowed {tolerance:.1e}", step))


def _unlike(one: Tensor | None, other: Tensor | None) -> str:
    """Why two tensors cannot be compared, in words; "" if they can."""
    if one is None or other is None:
        return "in the second only" if one is None else "in the first only"
    kinds = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (one, other)]
    return "" if kinds[0] == kinds[1] else " against ".join(kinds)


def _unequal_bits(one: Tensor, other: Tensor) -> int:
    """How many elements are not the same number, the two zeros and all NaNs told apart."""
    bits = {2: torch.int16, 4: torch.int32}[one.element_size()]
    return int((one.contiguous().view(bits) != other.contiguous().view(bits)).count_nonzero())


def _squares(one: Tensor, other: Tensor) -> float:
    """‖one − other‖², in float64 of which a bucket of a weight matrix is held at a time."""
    rows = zip(one.reshape(-1).split(2**24), other.reshape(-1).split(2**24), strict=True)
    return sum(float((a.double() - b.double()).square().sum()) for a, b in rows)
