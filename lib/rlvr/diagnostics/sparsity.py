"""How many weights an update moved, and how many it could move at all."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

Weights = Tensor | Mapping[str, Tensor]

# Weights compared at a time: their float64 copies stay below 100 MB, however large the tensor is.
BLOCK = 2**20


def _by_name(weights: Weights) -> Mapping[str, Tensor]:
    return {"weights": weights} if isinstance(weights, Tensor) else weights


def _pairs(before: Weights, after: Weights) -> Iterator[tuple[Tensor, Tensor]]:
    before, after = _by_name(before), _by_name(after)
    if before.keys() != after.keys():
        raise ValueError(f"weights differ in their names: {sorted(before.keys() ^ after.keys())}")
    for name, old in before.items():
        if old.shape != after[name].shape:
            raise ValueError(f"{name}: shapes {tuple(old.shape)} and {tuple(after[name].shape)} differ")
        yield old, after[name]


def _block_pairs(before: Weights, after: Weights) -> Iterator[tuple[Tensor, Tensor]]:
    for old, new in _pairs(before, after):
        yield from zip(old.reshape(-1).split(BLOCK), new.reshape(-1).split(BLOCK), strict=True)


def all_finite(weight: Tensor) -> bool:
    """Whether no element is infinite or NaN."""
    return all(bool(block.isfinite().all()) for block in weight.reshape(-1).split(BLOCK))


def changed_directions(before: Tensor, after: Tensor, eta: float) -> Tensor:
    """+1 where a weight rose, −1 where it fell, 0 where it is equal in bf16 (int8, the shape of `before`).

    Both sides are rounded to bf16 and compared in float64; a weight changed if |w − w'| > η·max(|w|, |w'|).
    """
    a, b = before.bfloat16().double(), after.bfloat16().double()
    difference = b - a
    changed = difference.abs() > eta * torch.maximum(a.abs(), b.abs())
    return torch.where(changed, difference.sign(), 0.0).to(torch.int8)


def update_sparsity(before: Weights, after: Weights, eta: float = 1e-3) -> float:
    """Share of weights that are equal in bf16: 1 − |{i : |w_i − w'_i| > η·max(|w_i|, |w'_i|)}| / n.

    Both sides (a tensor, or mappings of the same names) are rounded to bf16 first and compared in float64.
    Neighbouring bf16 numbers differ by at least 2⁻⁸ relative, so η = 1e-3 means inequality of value, with
    +0 and −0 equal (Mukherjee et al. 2025, arXiv:2505.11711, with the bf16 view of the source study).
    """
    changed = total = 0
    for old, new in _block_pairs(before, after):
        changed += int(changed_directions(old, new, eta).count_nonzero())
        total += old.numel()
    return 1.0 - changed / total


def relative_change(before: Weights, after: Weights) -> float:
    """‖w' − w‖₂ / ‖w‖₂ over all weights, in float64."""
    moved = size = 0.0
    for old, new in _block_pairs(before, after):
        moved += float((new.double() - old.double()).square().sum())
        size += float(old.double().square().sum())
    return math.sqrt(moved / size)


def movable_fraction(weights: Weights, lr: float) -> float:
    """Share of weights w that a step of size `lr` can move: w + lr or w − lr, rounded to w's dtype, is not w.

    Round to nearest, ties to even. Exact: the half gap to a neighbour is exact in float64, and w ± lr itself
    is never formed (converting it through fp32 would round twice).
    """
    movable = total = 0
    for weight, _ in _block_pairs(weights, weights):
        odd = (
            weight.contiguous().view({2: torch.int16, 4: torch.int32}[weight.element_size()]).bitwise_and(1)
            == 1
        )
        moves = torch.zeros_like(odd)
        for direction in (math.inf, -math.inf):
            neighbour = torch.nextafter(weight, torch.full_like(weight, direction))
            half_gap = (neighbour.double() - weight.double()).abs() / 2
            moves |= (half_gap < lr) | (odd & (half_gap == lr))
        movable += int(moves.sum())
        total += weight.numel()
    return movable / total
