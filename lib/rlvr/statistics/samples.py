"""Checks on the samples that the tests take."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# A share in [0, 1] times this is in points.
POINTS = 100.0

# Rounding leaves about 1e-16 of a value's size behind when equal values are centred; below this share of the
# largest value a spread is taken as none.
ROUNDING_SHARE = 1e-12


def as_sample(values: ArrayLike, name: str, smallest: int = 2, dimensions: Sequence[int] = (1,)) -> Array:
    """`values` as float64; ValueError names the sample that is too small, not finite or of a wrong shape."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim not in dimensions:
        allowed = " or ".join(map(str, dimensions))
        raise ValueError(f"{name} has {sample.ndim} dimensions; allowed: {allowed}")
    if len(sample) < smallest:
        raise ValueError(
            f"{name} has {len(sample)} value(s); this needs at least {smallest} (train more seeds)"
        )
    if not np.isfinite(sample).all():
        raise ValueError(f"{name} contains a value that is not a finite number")
    return sample


def rounding_variance(*samples: Array) -> Array:
    """The variance below which a spread is rounding only, one number per column."""
    scale = np.max([np.abs(sample).max(axis=0) for sample in samples], axis=0)
    return (ROUNDING_SHARE * scale) ** 2
