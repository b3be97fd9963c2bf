"""The table of predictions, and the sentences that say what would change a verdict."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_study import CONFIG, TASKS, write_base, write_run

from rlvr.analysis.change import (
    beyond_seeds,
    greater_seeds,
    larger_change,
    more_variable_change,
    variability_seeds,
)
from rlvr.analysis.hypothesis import Hypothesis, ratio_words
from rlvr.analysis.load import load_study
from rlvr.analysis.performance import on_task_equivalence
from rlvr.analysis.predictions import predictions_table
from rlvr.evaluation.records import WeightChange
from rlvr.files import read_json
from rlvr.statistics.equivalence import equivalence_test
from rlvr.statistics.planning import equivalence_seeds
from rlvr.statistics.power import permutation_detectable_variance_ratio
from rlvr.statistics.verdicts import either_verdict

AGREES = {"supported": "yes", "refuted": "no", "inconclusive": "unclear"}


def spread(sd, size, mean=0.0):
    """Values with exactly this mean and standard deviation."""
    values = np.linspace(-1, 1, size)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def test_predictions_follow_the_verdicts(analysed_study):
    table = pd.read_csv(analysed_study.analysis.predictions, keep_default_na=False, na_values={"found": ""})
    claims = read_json(analysed_study.analysis.hypotheses)
    whole = {
        (c["id"], c["arm"], c["basis"]): c for c in claims if c["headline"] or c["part"] == "on-task KL alike"
    }
    for name, quantity in (("H1", "E[ΔJ] on-task"), ("H2", "Var[ΔJ] off-task")):
        for arm in ("bf16", "bf16_mixed"):
            for basis in ("steps", "progress"):
                row = table[
                    (table["quantity"] == quantity) & (table["arm"] == arm) & (table["basis"] == basis)
                ]
                claim = whole[name, arm, basis]
                assert row["agrees"].tolist() == [AGREES[claim["verdict"]]]
                assert claim["effect"] is None or row["found"].item() == pytest.approx(claim["effect"])
    assert (table["how"].str.len() > 0).all() and (table["prediction"].str.len() > 0).all()
    detail = table["quantity"].isin(["KL off-task, size", "KL off-task, variability"])
    assert set(table.loc[detail, "agrees"]) == {""}
    assert set(table.loc[~detail, "agrees"]) <= {"yes", "no", "unclear"}


def test_off_task_kl_is_one_prediction_of_two_halves(analysed_study):
    table = pd.read_csv(analysed_study.analysis.predictions, keep_default_na=False)
    claims = read_json(analysed_study.analysis.hypotheses)
    keys = ["arm", "basis"]
    for (arm, basis), own in table[table["quantity"].str.startswith("KL off-task")].groupby(keys):
        assert own["quantity"].tolist() == ["KL off-task", "KL off-task, size", "KL off-task, variability"]
        halves = [
            c["verdict"]
            for c in claims
            if (c["arm"], c["basis"]) == (arm, basis) and c["part"].startswith("off-task KL")
        ]
        assert own["agrees"].iloc[0] == AGREES[either_verdict(halves)]


def _sparsity_rows(tmp_path, shares):
    """The sparsity rows of arms whose runs leave these shares of the weights as they were."""
    base, zeros, ones = write_base(tmp_path), (0.0,) * len(TASKS), (1.0,) * len(TASKS)
    files = [
        write_run(tmp_path, (arm, seed, 1), zeros, ones)
        for arm, own in shares.items()
        for seed in range(1, len(own) + 1)
    ]
    study = load_study([base], files, "add", "fp32")
    runs = tuple(
        replace(run, weight_change=WeightChange(shares[run.label.arm][run.label.seed - 1], 1e-3, 10, 0.0))
        for run in study.runs
    )
    table = predictions_table(replace(study, runs=runs), CONFIG, [])
    return table.set_index("arm")


def test_sparsity_is_judged_by_its_interval_over_seeds(tmp_path):
    shares = {
        "fp32": [0.05, 0.06, 0.07],
        "inside": [0.60, 0.62, 0.64],
        "astride": [0.30, 0.40, 0.50],
        "above": [0.97, 0.98, 0.99],
        "alone": [0.70],
    }
    rows = _sparsity_rows(tmp_path, shares)
    assert rows["agrees"].to_dict() == {
        "fp32": "no", "above": "no", "alone": "unclear", "astride": "unclear", "inside": "yes",
    }  # fmt: skip
    low, high = stats.t.interval(0.95, 2, 0.62, stats.sem(shares["inside"]))
    assert rows.loc["inside", ["found", "low", "high"]].tolist() == pytest.approx([0.62, low, high])
    assert rows.loc["alone", "found"] == 0.70 and math.isnan(rows.loc["alone", "low"])
    assert rows.loc["inside", "prediction"] == "36 to 92 %"


def test_seeds_for_equivalence_are_those_of_a_simulation():
    sd = math.sqrt((2.0**2 + 3.0**2) / 2)
    count = equivalence_seeds(sd, margin=2.0, alpha=0.05, power=0.8)
    rng = np.random.default_rng(0)

    def power(seeds):
        draws = ((rng.normal(0, 2.0, seeds), rng.normal(0, 3.0, seeds)) for _ in range(1500))
        return np.mean([equivalence_test(a, b, 2.0).pvalue <= 0.05 for a, b in draws])

    # Standard error of a power of 0.8 with 1,500 draws: 0.01.
    assert power(count) > 0.77
    assert power(count - 3) < 0.80
    assert equivalence_seeds(30.0, 2.0, 0.05, 0.8) is None


def test_seeds_for_a_difference_beyond_the_margin():
    arms = spread(2.0, 4, mean=0.0), spread(2.0, 4, mean=5.0)
    count = beyond_seeds(*arms, margin=2.0, confidence=0.95)

    def low(seeds):
        return equivalence_test(spread(2.0, seeds), spread(2.0, seeds, mean=5.0), 2.0).low

    assert low(count) > 2.0 >= low(count - 1)
    assert beyond_seeds(arms[0], arms[0] + 1.0, 2.0, 0.95) is None


def test_seeds_for_a_larger_mean_by_simulation():
    arms = spread(1.0, 4), spread(1.0, 4, mean=1.0)
    count = greater_seeds(*arms, alpha=0.05)
    rng = np.random.default_rng(1)
    draws = rng.normal(0, 1, (4000, count)), rng.normal(1, 1, (4000, count))
    found = stats.ttest_ind(draws[1], draws[0], axis=1, equal_var=False, alternative="greater").pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.04)
    assert greater_seeds(arms[1], arms[0], 0.05) is None


def test_seeds_for_a_variance_ratio_are_where_the_test_finds_it():
    at_8, at_10 = (permutation_detectable_variance_ratio(count, 0.05) for count in (8, 10))
    assert at_10 <= 8 < at_8
    assert variability_seeds(8, 0.05) == 10
    assert variability_seeds(1.01, 0.05) is None


def _claim(**numbers) -> Hypothesis:
    fields = dict(
        id="H2", part="off-task variability", arm="bf16", reference="fp32", task="pooled", headline=True,
        effect_name="ratio", seeds_arm=5, seeds_reference=5,
    )  # fmt: skip
    return Hypothesis(**fields | numbers)


def test_what_would_change_a_verdict_of_variability():
    def told(**numbers):
        return more_variable_change(_claim(**numbers), 2.0, 0.05, tests=1)

    assert told(effect=8.0, high=60.0) == (
        "If the true ratio is the 8.00 seen here, a test on one task would find it with 80 % power from "
        "at most 10 seeds an arm on (now 5 and 5)."
    )
    assert told(effect=8.0, high=60.0, seeds_arm=12, seeds_reference=10) == (
        "If the true ratio is the 8.00 seen here, at most 10 seeds an arm are enough for a test on one task "
        "to find it with 80 % power, and there are 10 and 12: that it was not found is within chance."
    )
    assert "from more than 64 seeds an arm on (now" in told(effect=1.01, high=9.0)
    # An upper limit below the ratio of interest, and yet no refutation: evaluation sampling.
    assert told(effect=1.1, high=1.8).startswith("More samples per problem would make evaluation sampling")
    assert "is not above 1; if it stays so" in told(effect=0.5, high=5.0) and "now 5.00" in told(
        effect=0.5, high=5.0
    )
    assert told(effect=9.0, verdict="supported", pvalue_adjusted=0.012) == (
        "Only a stricter level than 0.012 would change this (the level is 0.05)."
    )
    assert told(effect=0.4, verdict="refuted", high=1.3) == (
        "Only a smallest ratio of interest below 1.30 would change this (it is 2)."
    )


def test_a_difference_that_so_many_seeds_should_find_was_missed_by_chance():
    arms = spread(1.0, 4), spread(1.0, 4, mean=1.0)
    count = greater_seeds(*arms, alpha=0.05)
    few, many = (_claim(effect=1.5, seeds_arm=n, seeds_reference=n) for n in (4, count))
    assert f"from about {count} seeds an arm on (now 4 and 4)" in larger_change(few, arms, 1.25, 0.05, 1)
    assert "is within chance" in larger_change(many, arms, 1.25, 0.05, 1)


def test_no_ratio_is_printed_beyond_what_can_be_meant():
    told = [ratio_words(ratio) for ratio in (math.exp(50), math.inf, 10_001, 123.4, 1.234, 0.1234, 1e-9)]
    assert told == [
        "more than 10,000", "more than 10,000", "more than 10,000", "123", "1.23", "0.12", "less than 0.0001",
    ]  # fmt: skip


def test_what_would_change_a_verdict_of_equivalence(tmp_path):
    base, ones = write_base(tmp_path), (1.0,) * len(TASKS)

    def claim(mean, sd):
        files = [
            write_run(tmp_path, (arm, seed, 1), (delta, *ones[1:]), ones)
            for arm, deltas in (("fp32", spread(sd, 5)), ("bf16", spread(sd, 5, mean)))
            for seed, delta in enumerate(deltas, 1)
        ]
        return on_task_equivalence(load_study([base], files, "add", "fp32"), CONFIG, "bf16")

    supported = claim(0.0, 0.5)
    # TOST at 5 % holds for margins above t(0.95, 8)·0.5·√(2/5).
    smallest = stats.t(8).ppf(0.95) * 0.5 * math.sqrt(2 / 5)
    assert supported.verdict == "supported"
    assert (
        supported.change
        == f"Only a margin below {smallest:.1f} points would change this (the margin is 2.0 points)."
    )
    refuted = claim(9.0, 0.5)
    nearer = 9 - stats.t(8).ppf(0.975) * 0.5 * math.sqrt(2 / 5)
    assert (
        refuted.change
        == f"Only a margin above {nearer:.1f} points would change this (the margin is 2.0 points)."
    )
    alike, apart = claim(0.5, 3.0), claim(3.0, 3.0)
    assert alike.verdict == apart.verdict == "inconclusive"
    assert alike.change.startswith("If the arms are alike and vary as here, about ")
    assert apart.change.endswith("seeds an arm (now 5 and 5) would show a difference beyond 2.0 points.")
    close = claim(1.6, 0.5)
    assert close.verdict == "inconclusive"
    assert close.change == (
        f"There are seeds enough; the difference is too near the margin of 2.0 points, and only one above "
        f"{1.6 + smallest:.1f} points would show equivalence."
    )
