"""False positives, power and coverage of the precision study's analysis, on simulated studies.

    python bench/calibration.py [--studies 500] [--seeds 5 10] [--seed 0]

With 5 seeds, the default, it takes some six minutes of one core, with 5 and 10 some eighteen.

Whole studies are made up (bench/simulated_studies.py) and judged by the analysis as it is,
`rlvr.analysis.judging` with the levels and margins of config.yaml. Printed are the share of studies in
which each test says "supported", with its 95 % Clopper-Pearson interval, beside the level it
must not exceed (null studies) or the power predicted for it (planted effects). Then the coverage of the
intervals (bench/interval_coverage.py).
"""

import argparse
import gc
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from interval_coverage import print_coverage
from scipy import stats
from simulated_studies import DELTA_SD, LOG_KL_SD, OFF, Scenario, simulate_study

from rlvr.analysis.hypothesis import POOLED, Hypothesis
from rlvr.analysis.judging import judge_at_progress, judge_at_steps
from rlvr.analysis.load import Study
from rlvr.analysis.progress import match_progress
from rlvr.config.build import build
from rlvr.config.load import load_config
from rlvr.config.precision import AnalysisConfig
from rlvr.statistics.power import arms_equivalence_power, variance_test_power

CONFIGFILE = Path(__file__).parents[1] / "config.yaml"
# What the whole claims are called in the output.
NAMES = {"H2": "H2 pooled", "H3": "H3 whole"}


def analysis_config() -> AnalysisConfig:
    """Levels and margins as config.yaml has them."""
    section = dict(load_config(CONFIGFILE)["precision"]["analysis"])
    return replace(build(AnalysisConfig, section), reference="a")


def judge(scenario: Scenario, study: Study, config: AnalysisConfig) -> list[Hypothesis]:
    """All claims at equal steps; at equal progress where the arms move at different speeds."""
    if scenario.speed == 1:
        return judge_at_steps(study, config, "b")
    return judge_at_progress(match_progress(study, config, "b"), config)


def verdicts(claims: list[Hypothesis]) -> dict[str, str]:
    """The verdict of each test; of several tests, supported if one of them is."""

    def either(chosen: list[Hypothesis]) -> str:
        return "supported" if any(claim.verdict == "supported" for claim in chosen) else "not"

    tasks = [claim for claim in claims if claim.id == "H2" and claim.task != POOLED]
    parts = [claim for claim in claims if claim.id == "H3" and not claim.headline]
    found = {NAMES.get(claim.id, claim.id): claim.verdict for claim in claims if claim.headline}
    found |= {f"H3 {claim.part}": claim.verdict for claim in parts}
    found["H2 any task (Holm)"], found["H2 first task (Holm)"] = either(tasks), either(tasks[:1])
    found["H3 off-task, either (Holm)"] = either([part for part in parts if part.task == POOLED])
    return found


def count(scenario: Scenario, seeds: int, studies: int, seed: int, config: AnalysisConfig) -> Counter:
    """How often each (test, verdict) came out."""
    rng = np.random.default_rng(seed)
    counted: Counter = Counter()
    for _ in range(studies):
        claims = judge(scenario, simulate_study(scenario, seeds, rng), config)
        counted.update(verdicts(claims).items())
    return counted


def predictions(scenario: Scenario, seeds: int, config: AnalysisConfig) -> dict[str, tuple[str, float]]:
    """What each test's share of "supported" should be: its level (not to be exceeded) or its power."""
    alpha, degrees, error = config.alpha, 2 * seeds - 2, math.sqrt(2 / seeds)
    if scenario.speed != 1:
        tests = ("H2 pooled", "H2 any task (Holm)", "H3 off-task KL larger", "H3 off-task KL more variable")
        return dict.fromkeys(tests, ("level", alpha))
    margin, log_margin = config.equivalence_margin_points, math.log(config.kl_equivalence_ratio)
    found = {
        "H1": ("power", arms_equivalence_power(seeds, DELTA_SD, margin, alpha)),
        "H3 on-task KL alike": ("power", arms_equivalence_power(seeds, LOG_KL_SD, log_margin, alpha)),
    }
    if scenario.on_shift:
        found["H1"] = ("level", alpha)
    tests = ("H2 pooled", "H2 any task (Holm)", "H3 off-task, either (Holm)", "H3 whole")
    for test in (*tests, "H2 first task (Holm)") if scenario.floor else tests:
        found[test] = ("level", alpha)
    if scenario.ratio > 1 and scenario.correlation == 1:
        found["H2 pooled"] = ("power", variance_test_power(seeds, scenario.ratio, alpha))
        found["H2 any task (Holm)"] = ("power", variance_test_power(seeds, scenario.ratio, alpha / OFF))
        found["H3 off-task KL more variable"] = (
            "power at least", variance_test_power(seeds, scenario.ratio, alpha / 2)
        )  # fmt: skip
    if scenario.first_only:
        found["H2 first task (Holm)"] = (
            "power at least", variance_test_power(seeds, scenario.ratio, alpha / OFF)
        )  # fmt: skip
        del found["H2 pooled"], found["H2 any task (Holm)"]
    if scenario.off_kl_shift:
        # The mean of log KL over the off-tasks, which are independent.
        shift = scenario.off_kl_shift / (LOG_KL_SD / math.sqrt(OFF) * error)
        found["H3 off-task KL larger"] = (
            "power at least", float(stats.nct(degrees, shift).sf(stats.t(degrees).ppf(1 - alpha / 2)))
        )  # fmt: skip
    if scenario.off_kl_shift or scenario.ratio > 1:
        del found["H3 off-task, either (Holm)"], found["H3 whole"]
    return found


def clopper_pearson(found: int, trials: int) -> tuple[float, float]:
    interval = stats.binomtest(found, trials).proportion_ci(0.95, "exact")
    return interval.low, interval.high


def judged(kind: str, expected: float, found: int, trials: int) -> str:
    """Whether a count agrees with its level or power, within the binomial's 99.9 % range."""
    low, high = stats.binom.ppf([0.0005, 0.9995], trials, expected)
    if kind == "level":
        return "within" if found <= high else "ABOVE"
    if kind == "power at least":
        return "as predicted" if found >= low else "BELOW"
    return "as predicted" if low <= found <= high else "OFF"


def scenarios(seeds: int, config: AnalysisConfig) -> list[Scenario]:
    """Null studies, and studies with planted effects of about 80 % power at this number of seeds."""
    ratio = 150.0 if seeds < 8 else 18.0
    at_margin = config.equivalence_margin_points
    return [
        Scenario("null, normal, tasks independent, H1 at its margin", on_shift=at_margin),
        Scenario("null, normal, tasks correlated 0.5", correlation=0.5),
        Scenario("null, t with 3 df, tasks independent, H1 at its margin", heavy=True, on_shift=at_margin),
        Scenario("null, normal, the first off-task near the floor", floor=True),
        Scenario("null, the treatment arm twice as fast, at equal progress", speed=2.0),
        Scenario(f"variance ratio {ratio:g}, tasks move as one", correlation=1.0, ratio=ratio),
        Scenario(
            f"larger off-task KL, variance ratio {ratio:g} on one task",
            off_kl_shift=0.09 if seeds < 8 else 0.06,
            ratio=ratio,
            first_only=True,
        ),
    ]


def print_studies(studies: int, seeds: int, seed: int, write: Callable[[str], object]) -> None:
    config = analysis_config()
    for index, scenario in enumerate(scenarios(seeds, config)):
        started = time.perf_counter()
        # Planted effects need fewer studies than the small shares of the nulls.
        trials = studies if scenario.ratio == 1 else max(50, studies * 2 // 5)
        counted = count(scenario, seeds, trials, seed + 1000 * index + seeds, config)
        seconds = time.perf_counter() - started
        write(f"\n{seeds} seeds per arm; {scenario.name}; {trials} studies in {seconds:.0f} s\n")
        for test, (kind, expected) in predictions(scenario, seeds, config).items():
            found = counted[test, "supported"]
            low, high = clopper_pearson(found, trials)
            said = "measured only" if scenario.heavy else judged(kind, expected, found, trials)
            write(
                f"  {test:<30} supported {found / trials:6.1%} ({low:.1%} to {high:.1%})   "
                f"{kind} {expected:.1%}: {said}\n"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write = sys.stdout.write
    print_coverage(options.studies, options.seed, write)
    # The analysis collects garbage often; what is loaded by now need not be gone through each time.
    gc.freeze()
    for seeds in options.seeds:
        print_studies(options.studies, seeds, options.seed, write)


if __name__ == "__main__":
    main()
