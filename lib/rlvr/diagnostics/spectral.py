"""How an update moves the spectrum of a weight matrix, against random updates of the same size.

Zhu et al. 2025 (arXiv:2511.08567) hold that RLVR leaves the principal subspaces and the spectrum of the
weights nearly as they were. Any small update does to some degree, hence the isotropic null: how far a
Gaussian update of the same Frobenius norm would have moved them.

Singular values and vectors come from the eigendecomposition of the Gram matrix of the smaller side, in
float64 whatever the storage. The Gram matrix is summed over blocks of rows, so that a null needs no copy of
the matrix: beside the stored weights there are a Gram matrix and its eigenvectors for each draw, of the
smaller side squared. Everything is computed on the device of the weights. The price of Gram matrices: a
singular value s has an absolute error near 1e-16·s_max²/s, so values below about 1e-8·s_max are lost, which
does not show in the norms over all of them that are taken here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor

# Elements of a block of rows in float64 (32 MB).
_BLOCK = 2**22
# A singular value below this share of the largest is rounding noise of the Gram matrix.
_RESOLVED = 1e-7

# Blocks of rows (draws, rows, n) of a stack of tall matrices, from the first row at each call.
RowBlocks = Callable[[], Iterator[Tensor]]
# A fresh generator at each call, from the beginning of the same stream.
NewGenerator = Callable[[], np.random.Generator]


@dataclass(frozen=True)
class Spectra:
    """Singular values and top singular subspaces of a stack of matrices (draws, m, n), in float64.

    `values` (draws, min(m, n)): all singular values, descending. `left` (draws, m, rank) and `right`
    (draws, n, rank): orthonormal bases of the subspaces of the `rank` largest, where `resolved` (draws,) says
    that so many singular values are above rounding noise; without meaning elsewhere.
    """

    values: Tensor
    left: Tensor
    right: Tensor
    resolved: Tensor


@dataclass(frozen=True)
class Drift:
    """From one spectrum to another: normalised spectral shift, and principal angles in degrees.

    Angles are the largest and the mean one between the top left (right) singular subspaces.
    """

    nss: float
    angle_left: float
    angle_left_mean: float
    angle_right: float
    angle_right_mean: float


@dataclass(frozen=True)
class AgainstNull:
    """A measure of an update, and its mean and standard deviation (n − 1) over isotropic random updates."""

    observed: float
    null: float
    null_sd: float

    @property
    def ratio(self) -> float:
        """Observed / mean of the null; NaN where there is no null or its mean is 0."""
        return self.observed / self.null if self.null else math.nan


@dataclass(frozen=True)
class SpectralShift:
    """Each measure of `Drift` against the isotropic null of the same Frobenius norm."""

    nss: AgainstNull
    angle_left: AgainstNull
    angle_left_mean: AgainstNull
    angle_right: AgainstNull
    angle_right_mean: AgainstNull


def _tall(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _row_blocks(matrix: Tensor, copies: int = 1) -> Iterator[Tensor]:
    """Blocks of rows in float64, small enough for `copies` of them."""
    for block in matrix.split(max(1, _BLOCK // (copies * matrix.shape[1]))):
        yield block.double()


def top_rank(shape: Sequence[int], rank: int) -> int:
    """`rank`, at most half of the smaller side: a subspace of nearly all dimensions cannot turn."""
    return min(rank, min(shape) // 2)


def _tall_spectra(rows: RowBlocks, rank: int) -> Spectra:
    gram = sum(block.mT @ block for block in rows())
    squares, vectors = torch.linalg.eigh(gram)
    values = squares.flip(-1).clamp(min=0.0).sqrt()
    right = vectors[..., vectors.shape[-1] - rank :].flip(-1)
    top = values[:, :rank]
    left = torch.cat([block @ right for block in rows()], dim=1) / top.clamp(min=1e-300)[:, None]
    return Spectra(values, left, right, (top > _RESOLVED * values[:, :1]).all(dim=1))


def _spectra(shape: Sequence[int], rows: RowBlocks, rank: int) -> Spectra:
    """Spectra of matrices of `shape`, whose tall orientation comes in blocks of rows."""
    found = _tall_spectra(rows, top_rank(shape, rank))
    if shape[0] >= shape[1]:
        return found
    return Spectra(found.values, found.right, found.left, found.resolved)


def spectrum(matrix: Tensor, rank: int) -> Spectra:
    """Singular values and top subspaces, of `top_rank` dimensions, of `matrix` (m, n; any float dtype)."""
    return _spectra(matrix.shape, lambda: (block[None] for block in _row_blocks(_tall(matrix))), rank)


def principal_angles(before: Tensor, after: Tensor) -> Tensor:
    """Principal angles in degrees (..., rank), ascending, of the spans of orthonormal columns (..., m, rank).

    From cosines where an angle is above 45°, else from sines, so that small angles keep their digits
    (Björck & Golub 1973, section 4).
    """
    overlap = before.mT @ after
    cosines = torch.linalg.svdvals(overlap)
    sines = torch.linalg.svdvals(after - before @ overlap).flip(-1)
    small = cosines.square() > 0.5
    angles = torch.where(small, sines.clamp(max=1.0).asin(), cosines.clamp(max=1.0).acos())
    return angles.rad2deg()


def _largest_and_mean(before: Tensor, after: Tensor, resolved: Tensor) -> tuple[Tensor, Tensor]:
    if before.shape[-1] == 0:
        undefined = torch.full((len(after),), math.nan, device=after.device)
        return undefined, undefined
    angles = torch.where(resolved[:, None], principal_angles(before, after), math.nan)
    return angles.amax(dim=1), angles.mean(dim=1)


def drifts(before: Spectra, after: Spectra) -> list[Drift]:
    """‖σ(W) − σ(W₀)‖₂ / ‖σ(W₀)‖₂ and principal angles, from one matrix to each of a stack.

    NaN for the shift of a zero matrix, and for angles of subspaces that are not defined.
    """
    size = before.values.norm(dim=1)
    nss = (after.values - before.values).norm(dim=1) / torch.where(size > 0, size, math.nan)
    resolved = before.resolved & after.resolved
    left = _largest_and_mean(before.left, after.left, resolved)
    right = _largest_and_mean(before.right, after.right, resolved)
    return [Drift(*row) for row in torch.stack([nss, *left, *right], dim=1).tolist()]


def isotropic_drifts(
    matrix: Tensor, before: Spectra, norm: float, rank: int, draws: int, new_generator: NewGenerator
) -> list[Drift]:
    """Drifts from `before`, the spectrum of `matrix`, under `draws` Gaussian updates of norm `norm`.

    An update is E with i.i.d. normal elements, scaled to Frobenius norm `norm`. E is drawn again in each pass
    over the rows and never held as a whole.
    """

    def noise() -> Iterator[tuple[Tensor, Tensor]]:
        generator = new_generator()
        for block in _row_blocks(_tall(matrix), draws):
            drawn = generator.standard_normal((block.shape[0], draws, block.shape[1]))
            yield block, torch.from_numpy(drawn).to(block.device).transpose(0, 1)

    squares = sum(drawn.square().sum(dim=(1, 2)) for _, drawn in noise())
    assert isinstance(squares, Tensor)  # a matrix has a block at least
    scales = (norm / squares.sqrt())[:, None, None]
    return drifts(
        before, _spectra(matrix.shape, lambda: (block + scales * drawn for block, drawn in noise()), rank)
    )


def update_norm(before: Tensor, after: Tensor) -> float:
    """‖W − W₀‖_F in float64, of matrices of one shape."""
    blocks = zip(_row_blocks(before), _row_blocks(after), strict=True)
    return math.sqrt(sum(float((new - old).square().sum()) for old, new in blocks))


def _against_null(observed: Drift, null: list[Drift]) -> SpectralShift:
    values = np.array([astuple(drawn) for drawn in null])
    mean = values.mean(axis=0)
    deviation = values.std(axis=0, ddof=1) if len(null) > 1 else np.full_like(mean, math.nan)
    measures = zip(astuple(observed), mean.tolist(), deviation.tolist(), strict=True)
    return SpectralShift(*(AgainstNull(*measure) for measure in measures))


def spectral_shift(
    matrix: Tensor, before: Spectra, after: Tensor, rank: int, draws: int, new_generator: NewGenerator
) -> SpectralShift:
    """Drift of the update `after` − `matrix` against its isotropic null; `before`: spectrum of `matrix`.

    An update of zero has drift 0 (NaN where a measure is not defined) and no null: its values are NaN.
    """
    norm = update_norm(matrix, after)
    if norm == 0.0:
        (undefined,) = drifts(before, before)
        zeros = (0.0 * value for value in astuple(undefined))  # 0, and NaN stays NaN
        return SpectralShift(*(AgainstNull(value, math.nan, math.nan) for value in zeros))
    (observed,) = drifts(before, spectrum(after, rank))
    return _against_null(observed, isotropic_drifts(matrix, before, norm, rank, draws, new_generator))
