"""Variance components of scores over runs, without modelling the sampling noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rlvr.statistics.samples import as_sample


@dataclass(frozen=True)
class VarianceComponents:
    """Variance between runs, and what evaluation sampling adds to a score; both may come out negative."""

    between: float
    sampling: float
    total: float
    runs: int


def split_half_components(halves: ArrayLike) -> VarianceComponents:
    """Components from scores of shape (runs, 2): each run's scores on two disjoint halves of its samples.

    The halves of a run share its policy and nothing else, so their covariance over runs estimates the
    variance between runs without bias; sampling is the variance of the halves' mean minus that. An estimate
    below zero says that the component is too small to see with these runs. ValueError with fewer than two
    runs.
    """
    sample = as_sample(halves, "the runs", dimensions=(2,))
    return _components(sample - sample.mean(axis=0), len(sample) - 1, len(sample))


def within_group_components(groups: list[ArrayLike]) -> VarianceComponents:
    """As `split_half_components` for repeats: each group (a seed) is centred on its own mean, then pooled."""
    samples = [as_sample(group, "the repeats of a seed", dimensions=(2,)) for group in groups]
    if not samples:
        raise ValueError("no seed was run more than once")
    centred = np.concatenate([sample - sample.mean(axis=0) for sample in samples])
    return _components(centred, len(centred) - len(samples), len(centred))


def _components(centred: np.ndarray, degrees: int, runs: int) -> VarianceComponents:
    between = float((centred[:, 0] * centred[:, 1]).sum() / degrees)
    total = float((centred.mean(axis=1) ** 2).sum() / degrees)
    return VarianceComponents(between, total - between, total, runs)
