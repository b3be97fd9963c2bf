import math
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from rlvr.__main__ import main
from rlvr.statistics.planning import (
    StudyPlan,
    bearable_sd,
    equivalence_seeds,
    gain_standard_error,
    new_problems_standard_error,
    sampling_standard_error,
    smallest_seeds,
    variance_test_seeds,
)
from rlvr.statistics.power import arms_equivalence_power, variance_test_power


def test_sampling_error_is_the_binomials_for_problems_alike_and_less_for_others():
    rng = np.random.default_rng(0)
    predicted = sampling_standard_error(50, 8, 0.3)
    alike = rng.binomial(8, 0.3, size=(20_000, 50)).mean(axis=1) / 8
    # The sd of an sd from 20,000 values is 0.5 %.
    assert alike.std() == pytest.approx(predicted, rel=0.02)
    rates = rng.permutation(np.r_[np.full(25, 0.05), np.full(25, 0.55)])
    mixed = rng.binomial(8, rates, size=(20_000, 50)).mean(axis=1) / 8
    exact = math.sqrt((rates * (1 - rates)).mean() / (50 * 8))
    assert mixed.std() == pytest.approx(exact, rel=0.02)
    assert exact < predicted


def test_error_for_new_problems_is_reached_where_samples_of_a_problem_agree():
    rng = np.random.default_rng(1)
    scores = rng.binomial(50, 0.3, size=20_000) / 50
    assert scores.std() == pytest.approx(new_problems_standard_error(50, 0.3), rel=0.02)


def test_error_of_the_gain_by_simulation():
    rng = np.random.default_rng(2)
    run = rng.binomial(400, 0.5, size=20_000) / 400
    base = rng.binomial(1600, 0.5, size=20_000) / 1600
    predicted = gain_standard_error(sampling_standard_error(50, 8, 0.5), 4)
    assert (run - base).std() == pytest.approx(predicted, rel=0.02)


def test_bearable_sd_has_just_the_power():
    for seeds in (2, 5, 20):
        sd = bearable_sd(seeds, margin=2.0, alpha=0.05, power=0.8)
        assert arms_equivalence_power(seeds, sd, 2.0, 0.05) == pytest.approx(0.8)


@pytest.mark.parametrize("threshold", [2, 3, 4, 7, 11, 33, 64])
def test_smallest_seeds_finds_every_threshold(threshold):
    assert smallest_seeds(lambda seeds: float(seeds >= threshold), 0.8) == threshold


def test_smallest_seeds_beyond_the_limit_is_none():
    assert smallest_seeds(lambda seeds: 0.0, 0.8) is None


def test_seeds_needed_are_the_first_with_enough_power():
    plan = StudyPlan(seeds=5, ratio=20.0)
    for test, seeds in variance_test_seeds(plan, 0.05).items():
        assert variance_test_power(seeds, 20.0, 0.05, test) >= 0.8
        assert variance_test_power(seeds - 1, 20.0, 0.05, test) < 0.8
    seeds = equivalence_seeds(1.0, 2.0, alpha=0.05, power=0.8)
    assert arms_equivalence_power(seeds, 1.0, 2.0, 0.05) >= 0.8
    assert arms_equivalence_power(seeds - 1, 1.0, 2.0, 0.05) < 0.8


def test_a_plans_score_spreads_by_seed_and_sampling():
    plan = StudyPlan(seeds=5, seed_sd=1.0, problems=100, samples=4, accuracy=0.5)
    assert plan.score_sd == pytest.approx(math.sqrt(1 + 2.5**2))
    assert plan.holm_alpha == pytest.approx(0.05 / 6)


def test_the_command_prints_the_known_figures(capsys):
    assert main(["power", "--seeds", "5"]) == 0
    shown = capsys.readouterr().out
    rows = {tuple(line.split()[:2]): line.split() for line in shown.splitlines() if line.strip()}
    lines = shown.splitlines()
    detectable = lines[next(i for i, line in enumerate(lines) if "smallest variance ratio" in line) :]
    assert detectable[2].split()[-2:] == ["15.9", "43.8"]
    assert float(detectable[1].split()[1]) == pytest.approx(39.4, rel=0.03)
    assert rows[("largest", "sd")]
    law = stats.f(4, 4)
    assert f"{100 * law.sf(law.ppf(0.95) / 8):.1f} %" in shown
    assert max(map(len, lines)) <= 100


def test_two_seeds_are_answered_plainly(capsys):
    assert main(["power", "--seeds", "2", "--ratio", "20", "--tasks", "2"]) == 0
    shown = capsys.readouterr().out
    permutation = next(line for line in shown.splitlines() if line.strip().startswith("permutation"))
    assert permutation.split() == ["permutation", "none", "none"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "1"], "argument --seeds: 1: allowed is a whole number 2 to 200"),
        (["--seeds", "5", "--samples", "1.5"], "1.5: allowed is a whole number 1 to"),
        (["--seeds", "5", "--accuracy", "1.2"], "1.2: allowed is 0 to 1"),
        (["--seeds", "5", "--alpha", "nan"], "nan: allowed is 0.0001 to 0.4"),
        (["--seeds", "5", "--seed-sd", "-1"], "-1: allowed is 0 to 100"),
        ([], "required: --seeds"),
    ],
)
def test_wrong_options_name_what_is_allowed(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["power", *arguments])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_the_commands_defaults_are_the_plans(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("rlvr.statistics.plan_table.plan_table", lambda plan: seen.append(plan) or "")
    main(["power", "--seeds", "7"])
    assert seen == [StudyPlan(seeds=7)]
    changed = {field.name: 3 for field in fields(StudyPlan)} | {"accuracy": 0.25, "alpha": 0.1, "power": 0.9}
    options = [
        text for name, value in changed.items() for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    main(["power", *options])
    assert seen[1] == StudyPlan(**changed)


def test_planning_needs_no_torch():
    code = "import sys; import rlvr.statistics.plan_table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
