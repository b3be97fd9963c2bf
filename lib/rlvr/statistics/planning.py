"""What a study planned with so many seeds, problems and samples will be able to see."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rlvr.statistics.critical_table import SEEDS
from rlvr.statistics.power import arms_equivalence_power, root, variance_test_power
from rlvr.statistics.samples import POINTS

# Larger numbers of seeds, whose critical ratios would have to be simulated, are not looked for.
MOST_SEEDS = SEEDS[-1]


@dataclass(frozen=True)
class StudyPlan:
    """A planned study. `seeds` are per arm, `tasks` the size of the Holm family.

    `seed_sd` is the sd over seeds of the true on-task accuracy and `margin` that of H1, in points; `ratio` is
    the variance ratio of H2 that is to be found. `kl_sd` is the sd over seeds of log KL, `kl_ratio` the
    margin of H3 as a factor. The base has `base_samples_factor` times the samples of a run.
    """

    seeds: int
    problems: int = 500
    samples: int = 16
    accuracy: float = 0.5
    tasks: int = 6
    alpha: float = 0.05
    power: float = 0.8
    seed_sd: float = 1.0
    margin: float = 2.0
    ratio: float = 8.0
    kl_sd: float = 0.1
    kl_ratio: float = 1.25
    base_samples_factor: int = 4

    @property
    def holm_alpha(self) -> float:
        """The level of Holm's first step."""
        return self.alpha / self.tasks

    @property
    def log_kl_margin(self) -> float:
        """The margin of H3 on log KL."""
        return math.log(self.kl_ratio)

    @property
    def sampling_points(self) -> float:
        """Standard error of a run's accuracy from sampling alone, in points."""
        return POINTS * sampling_standard_error(self.problems, self.samples, self.accuracy)

    @property
    def score_sd(self) -> float:
        """Sd over seeds of a measured accuracy in points: the seeds' own and that of sampling."""
        return math.hypot(self.seed_sd, self.sampling_points)


def sampling_standard_error(problems: int, samples: int, accuracy: float) -> float:
    """Standard error of avg@`samples` on the same `problems` sampled anew, √(p(1 − p)/(P·K)), as a share.

    It takes all problems as equally hard. That is the most it can be: Σ pᵢ(1 − pᵢ) is largest, at a given
    mean, where all pᵢ are equal.
    """
    return math.sqrt(accuracy * (1 - accuracy) / (problems * samples))


def new_problems_standard_error(problems: int, accuracy: float) -> float:
    """The most that the standard error clustered by problem can be, √(p(1 − p)/P), as a share.

    For generalising to other problems of the kind. Reached where each problem is always or never solved, so
    that further samples of a problem add nothing.
    """
    return math.sqrt(accuracy * (1 - accuracy) / problems)


def gain_standard_error(error: float, base_samples_factor: float) -> float:
    """Standard error of ΔJ from the sampling error of J, √(1 + 1/f)·error, with f times the samples of base.

    Takes run and base as equally accurate. The base's part is common to all runs of all arms: it cancels in
    comparisons of arms and does not shrink with more seeds.
    """
    return error * math.sqrt(1 + 1 / base_samples_factor)


def bearable_sd(seeds: int, margin: float, alpha: float, power: float) -> float:
    """The largest sd over seeds at which `arms_equivalence_power` still is `power`."""

    def lacking(log_share: float) -> float:
        return arms_equivalence_power(seeds, margin * math.exp(log_share), margin, alpha) - power

    return margin * math.exp(root(lacking, math.log(1e-6), math.log(1e3)))


def smallest_seeds(power_with: Callable[[int], float], power: float, least: int = 2) -> int | None:
    """The smallest number of seeds from `least` on whose power is enough; None beyond `MOST_SEEDS`.

    Takes the power as growing with the seeds.
    """
    step, below, above = 1, least - 1, least
    while power_with(above) < power:
        if above == MOST_SEEDS:
            return None
        below, above, step = above, min(above + step, MOST_SEEDS), 2 * step
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if power_with(middle) >= power else (middle, above)
    return above


def variance_test_seeds(plan: StudyPlan, alpha: float) -> dict[str, int | None]:
    """Seeds per arm with which each test finds the plan's ratio; the F test's are a start for the others."""
    found: dict[str, int | None] = {}
    least = 3
    for test in ("f", "permutation", "brown_forsythe"):
        power_with = partial(variance_test_power, ratio=plan.ratio, alpha=alpha, test=test)
        found[test] = smallest_seeds(power_with, plan.power, least)
        least = found["f"] or MOST_SEEDS
    return found


def equivalence_seeds(sd: float, margin: float, alpha: float, power: float) -> int | None:
    """Seeds per arm with which TOST has this power if the arms do not differ and both have this sd."""
    return smallest_seeds(lambda seeds: arms_equivalence_power(seeds, sd, margin, alpha), power)
