"""Overlap of the weights that several runs changed, against nulls of independent change.

Jaccard of two runs: |A ∩ B| / |A ∪ B|, A and B the sets of weights that each changed from the base in the
bf16 view. The nulls keep how many weights each run changed, and differ in what they know of a weight:

1. uniform: nothing. Independent masks of densities p and q overlap by pq / (p + q − pq).
2. magnitude: its tensor and binade (the bf16 exponent of the base weight). The expected intersection is
   Σ_b a_b·c_b / n_b over the bins b, with a_b and c_b changed of n_b weights.
3. rounding: its tensor, binade, and place in its bf16 rounding cell, by the side of the cell and the octave
   of the distance to the nearer border. Where the base is finer than bf16, a weight near a border changes its
   bf16 view at a touch, in every run: an overlap that tells of the cast and not of training.

A bin of one weight expects what was observed, so bins that are too fine hide an overlap and never make one.

Expected Jaccard: E|A ∩ B| / (|A| + |B| − E|A ∩ B|), the sums running over all tensors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from rlvr.diagnostics.sparsity import changed_directions

BINADES = 256  # bf16 exponents
OCTAVES = 16  # of the distance to a rounding border; fp32 has 16 more bits of mantissa than bf16
PLACES = 2 * OCTAVES  # in the rounding cell


@dataclass(frozen=True)
class OverlapCounts:
    """Counts over some weights for every pair of R runs, each (R, R), symmetric, float64; they add up.

    `common`: weights that both changed (on the diagonal those that the run changed); `agreeing`: of these,
    changed in the same direction. `common_magnitude`, `common_rounding`, `agreeing_rounding`: expected under
    null 2 and null 3 (the diagonal has no meaning). `finite` (R,): whether all weights of the run are finite.
    """

    weights: int
    common: np.ndarray
    agreeing: np.ndarray
    common_magnitude: np.ndarray
    common_rounding: np.ndarray
    agreeing_rounding: np.ndarray
    finite: np.ndarray

    def __add__(self, other: "OverlapCounts") -> "OverlapCounts":
        return OverlapCounts(
            self.weights + other.weights,
            self.common + other.common,
            self.agreeing + other.agreeing,
            self.common_magnitude + other.common_magnitude,
            self.common_rounding + other.common_rounding,
            self.agreeing_rounding + other.agreeing_rounding,
            self.finite & other.finite,
        )


def rounding_bins(base: Tensor) -> Tensor:
    """Bin of each base weight by binade and place in its rounding cell: int64, BINADES × PLACES bins.

    The binade is that of the weight rounded to bf16. The place is the side of the cell's middle (away from
    zero or towards it) and the octave of the distance to the border on that side, in units of the last place:
    octave k is [2⁻ᵏ⁻², 2⁻ᵏ⁻¹), the middle in octave 0. Weights that bf16 represents are in the middle.
    """
    rounded = base.bfloat16()
    exponent_bits = rounded.view(torch.int16).bitwise_and(0x7F80)
    binade = exponent_bits.bitwise_right_shift(7).long()
    # The power of two with these bits; subnormals have the units of the smallest normal binade.
    unit = exponent_bits.view(torch.bfloat16).double().clamp(min=2.0**-126) / 2**7
    offset = (base.double().abs() - rounded.double().abs()) / unit
    to_border = 0.5 - offset.abs()
    _, exponent = torch.frexp(to_border.clamp(min=2.0**-40))
    octave = (-1 - exponent).clamp(0, OCTAVES - 1).long()
    outside = (offset > 0).long()
    return (binade * 2 + outside) * OCTAVES + octave


def _bin_counts(bins: Tensor, directions: Tensor) -> np.ndarray:
    """Weights that fell, stayed and rose, by bin: (BINADES × PLACES, 3)."""
    size = BINADES * PLACES * 3
    return torch.bincount(bins * 3 + directions.long() + 1, minlength=size).reshape(-1, 3).double().numpy()


def _expected(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ_b a_b·c_b / n_b for every pair of rows of `counts` (R, bins)."""
    filled = weights > 0
    return (counts[:, filled] / weights[filled]) @ counts[:, filled].T


def _expected_counts(by_bin: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Null 2's and null 3's common changes, and null 3's agreeing ones, of one tensor (R, bins, 3)."""
    weights = by_bin[0].sum(axis=1)
    fell, rose = by_bin[..., 0], by_bin[..., 2]
    changed = fell + rose
    by_binade = changed.reshape(len(changed), BINADES, PLACES).sum(axis=2)
    return (
        _expected(by_binade, weights.reshape(BINADES, PLACES).sum(axis=1)),
        _expected(changed, weights),
        _expected(rose, weights) + _expected(fell, weights),
    )


def count_overlap(blocks: Iterable[tuple[Tensor, Sequence[Tensor]]], eta: float) -> OverlapCounts:
    """Counts of one tensor that comes in blocks: (weights of the base, those of each run), flat, one shape.

    A block of up to 2²⁴ weights is counted exactly. Directions are those of the magnitude: +1 is away from
    zero on the side of the base.
    """
    total = 0
    common: np.ndarray = np.zeros(())
    agreeing: np.ndarray = np.zeros(())
    by_bin: np.ndarray = np.zeros(())
    finite: np.ndarray = np.ones((), dtype=bool)
    for base, runs in blocks:
        sign = torch.where(base.signbit(), -1, 1).to(torch.int8)
        directions = torch.stack([changed_directions(base, after, eta) * sign for after in runs])
        bins = rounding_bins(base)
        by_bin = by_bin + np.stack([_bin_counts(bins, own) for own in directions])
        moves = directions.float()  # products of −1, 0 and 1: sums are exact in float32 up to 2²⁴
        both, net = moves.abs() @ moves.abs().T, moves @ moves.T
        common = common + both.double().numpy()
        agreeing = agreeing + ((both + net) / 2).double().numpy()
        finite = finite & np.array([bool(after.isfinite().all()) for after in runs])
        total += base.numel()
    return OverlapCounts(total, common, agreeing, *_expected_counts(by_bin), finite)


def sum_counts(counts: Iterable[OverlapCounts]) -> OverlapCounts:
    """Counts over all tensors."""
    return reduce(add, counts)


def uniform_jaccard(p: float, q: float) -> float:
    """Null 1: pq / (p + q − pq), for p = q that is p / (2 − p); NaN if nothing changed."""
    return p * q / (p + q - p * q) if p + q else float("nan")


def jaccard(common: float, first: float, second: float) -> float:
    """|A ∩ B| / |A ∪ B| from counts; NaN where neither run changed a weight."""
    union = first + second - common
    return float(common / union) if union else float("nan")
