"""Splits of values into two groups, for permutation tests."""

from functools import cache, lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Splits = NDArray[np.bool_]


@cache
def all_splits(n: int, chosen: int) -> Splits:
    """Every choice of `chosen` out of `n`, a boolean row each; read-only, as it is cached."""
    picks = np.array(list(combinations(range(n), chosen)))
    splits = np.zeros((len(picks), n), dtype=bool)
    np.put_along_axis(splits, picks, True, axis=1)
    splits.flags.writeable = False
    return splits


def random_splits(n: int, chosen: int, count: int, rng: np.random.Generator) -> Splits:
    """`count` random choices of `chosen` out of `n`, a boolean row each."""
    return rng.random((count, n)).argsort(axis=1) < chosen


@lru_cache(maxsize=8)
def seeded_splits(n: int, chosen: int, count: int, seed: int) -> Splits:
    """`random_splits` of a generator with `seed`; read-only, as it is cached for arms of equal sizes."""
    splits = random_splits(n, chosen, count, np.random.default_rng(seed))
    splits.flags.writeable = False
    return splits
