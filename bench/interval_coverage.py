"""Coverage of the intervals of the analysis and of the candidates that they were chosen from.

Simulated samples; printed by bench/calibration.py. Nominal coverage is 95 %, missed on either side 2.5 %.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import special, stats

from rlvr.statistics.components import split_half_components
from rlvr.statistics.ratio_interval import permutation_variance_ratio_interval
from rlvr.statistics.variance import pooled_variance_ratio_interval, variance_ratio_interval

SIZES = (5, 10, 20)
RESAMPLES = 400
Write = Callable[[str], object]


def _line(name: str, low: np.ndarray, high: np.ndarray, truth: float) -> str:
    covered, over, under = (
        np.mean((low <= truth) & (truth <= high)),
        np.mean(low > truth),
        np.mean(high < truth),
    )
    width = np.median(high - low)
    return (
        f"    {name:<42} {covered:6.1%}  wholly above {over:5.1%}  wholly below {under:5.1%}  "
        f"median width {width:.3g}\n"
    )


def _limits(intervals: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(intervals).T
    return low, high


def _tukey_williams(total: np.ndarray, sampling: np.ndarray, degrees: int) -> tuple[np.ndarray, np.ndarray]:
    """Williams (1962, Biometrika 49:278) and Tukey: exact F limits over exact chi-square limits."""
    high, low = special.chdtri(degrees, [0.025, 0.975])
    lower, upper = special.fdtri(degrees, degrees, [0.025, 0.975])
    limits = degrees * (total - upper * sampling) / high, degrees * (total - lower * sampling) / low
    return np.maximum(0.0, limits[0]), np.maximum(0.0, limits[1])


def _bootstrap_covariance(halves: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile interval of the covariance of two columns, whole rows drawn anew."""
    drawn = halves[rng.integers(0, len(halves), (RESAMPLES, len(halves)))]
    centred = drawn - drawn.mean(axis=1, keepdims=True)
    found = (centred[..., 0] * centred[..., 1]).sum(axis=1) / (len(halves) - 1)
    return tuple(np.maximum(0.0, np.quantile(found, [0.025, 0.975])))


def components_coverage(trials: int, rng: np.random.Generator, write: Write) -> None:
    write("Seed variance from split halves, in units of the sampling variance of a whole score\n")
    for n in SIZES:
        for true in (0.0, 0.1, 1.0, 10.0):
            halves = math.sqrt(true) * rng.standard_normal((trials, n, 1)) + math.sqrt(
                2
            ) * rng.standard_normal((trials, n, 2))
            found = [split_half_components(sample) for sample in halves]
            total, sampling = (
                np.array([getattr(one, name) for one in found]) for name in ("total", "sampling")
            )
            write(f"  n = {n}, σ²(seed)/σ²(sampling) = {true:g}\n")
            write(
                _line(
                    "modified large sample (used)",
                    *_limits([(c.between_low, c.between_high) for c in found]),
                    true,
                )
            )
            write(_line("Tukey–Williams", *_tukey_williams(total, sampling, n - 1), true))
            few = halves[: trials // 4]
            write(_line("bootstrap over runs", *_limits([_bootstrap_covariance(x, rng) for x in few]), true))
            write(
                _line(
                    "sampling: chi-square (used)",
                    *_limits([(c.sampling_low, c.sampling_high) for c in found]),
                    1.0,
                )
            )


def _log_interval(find: Callable, arms: np.ndarray) -> tuple[float, float]:
    found = find(*arms)
    return math.log(found.low), math.log(found.high)


def _one_task_jackknife(reference: np.ndarray, treatment: np.ndarray):
    return pooled_variance_ratio_interval(reference[:, None], treatment[:, None])


def _laws(rng: np.random.Generator) -> dict[str, Callable[..., np.ndarray]]:
    return {"normal": rng.standard_normal, "t with 3 df": lambda shape: rng.standard_t(3, shape)}


def ratios_coverage(trials: int, rng: np.random.Generator, write: Write) -> None:
    candidates = {
        "F": variance_ratio_interval,
        "Miller's jackknife": _one_task_jackknife,
        "permutation test inverted": permutation_variance_ratio_interval,
    }
    write("\nLog of a variance ratio, one task\n")
    for name, law in _laws(rng).items():
        for n in SIZES:
            write(f"  {name}, n = {n}\n")
            samples = law((trials, 2, n))
            for candidate, find in candidates.items():
                write(_line(candidate, *_limits([_log_interval(find, arms) for arms in samples]), 0.0))
    write("\nMean log variance ratio, six tasks correlated 0.5 (Miller's jackknife over runs, used)\n")
    for name, law in _laws(rng).items():
        for n in SIZES:
            samples = law((trials, 2, n, 1)) + law((trials, 2, n, 6))
            limits = _limits([_log_interval(pooled_variance_ratio_interval, arms) for arms in samples])
            write(_line(f"{name}, n = {n}", *limits, 0.0))


def means_coverage(trials: int, rng: np.random.Generator, write: Write) -> None:
    write("\nDifference of two means; the second arm has twice the sd\n")
    for name, law in _laws(rng).items():
        for n in SIZES:
            write(f"  {name}, n = {n}\n")
            a, b = law((trials, n)), 2 * law((trials, n))
            welch = stats.ttest_ind(b, a, axis=1, equal_var=False).confidence_interval(0.95)
            write(_line("Welch's t (used)", welch.low, welch.high, 0.0))
            drawn = [
                np.take_along_axis(side[:, None], rng.integers(0, n, (trials, RESAMPLES, n)), axis=2).mean(
                    axis=2
                )
                for side in (a, b)
            ]
            write(_line("bootstrap", *np.quantile(drawn[1] - drawn[0], [0.025, 0.975], axis=1), 0.0))


def print_coverage(trials: int, seed: int, write: Write) -> None:
    """All of them, with `trials` samples each (four times as many for the components)."""
    rng = np.random.default_rng(seed)
    components_coverage(4 * trials, rng, write)
    ratios_coverage(trials, rng, write)
    means_coverage(4 * trials, rng, write)
