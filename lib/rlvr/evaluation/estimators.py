"""Accuracy, pass@k and their standard errors from correct samples per problem."""

import math
from collections.abc import Sequence

import numpy as np


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased probability that at least one of k samples is right, from c right ones of n.

    1 − C(n−c, k)/C(n, k) (Chen et al. 2021, arXiv:2107.03374, equation 1). Needs 0 ≤ c ≤ n and 1 ≤ k ≤ n;
    otherwise ValueError.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n; got n={n}, c={c}, k={k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def clustered_mean(per_problem: Sequence[float]) -> tuple[float, float | None]:
    """Mean over problems and its standard error clustered by problem (None for one problem)."""
    values = np.asarray(per_problem, dtype=np.float64)
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), error


def sampling_error(correct: np.ndarray) -> float | None:
    """Standard error of the mean accuracy when the same problems are sampled anew.

    `correct`: boolean (problems, k). Each problem's variance p(1−p) is estimated without bias by
    p̂(1−p̂)·k/(k−1), hence √(mean p̂(1−p̂)/(k−1) / problems). None for k = 1.
    """
    problems, k = correct.shape
    if k < 2:
        return None
    rate = correct.mean(axis=1)
    return math.sqrt(float((rate * (1 - rate) / (k - 1)).mean()) / problems)


def accuracy_halves(correct: np.ndarray) -> tuple[float, float] | None:
    """Accuracies of the even and of the odd samples of each problem; None for one sample a problem."""
    if correct.shape[1] < 2:
        return None
    return float(correct[:, ::2].mean()), float(correct[:, 1::2].mean())
