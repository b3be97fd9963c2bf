"""Tables of the alignment study, against values worked out by hand or by scipy."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from synthetic_arms import (
    VALIDATION_COLUMNS,
    analyse,
    validation_row,
    write_arm,
    write_small_arm,
    write_zero_shot,
)

from rlvr.alignment.arms import Experiment
from rlvr.errors import UserError
from rlvr.files import write_csv

T2, T4 = 4.302653, 2.776445  # 97.5 % quantiles of Student's t with 2 and 4 degrees of freedom


def experiment(method, name, *arms):
    return Experiment(method, name, name, "", arms)


@pytest.fixture
def folder(tmp_path):
    write_zero_shot(tmp_path, "r1_zero", 0.4, 0.8)
    write_zero_shot(tmp_path, "question_only", 0.3, 0.7)
    return tmp_path


def tables(folder, *experiments, seeds=3):
    files = analyse(folder, experiments, seeds)
    return {name: pd.read_csv(path) for name, path in files.by_name().items() if name != "findings"}


def compared(folder, *experiments, metric="accuracy", seeds=3):
    rows = tables(folder, *experiments, seeds=seeds)["comparisons"]
    return rows[rows["metric"] == metric].set_index("arm")


def test_arm_means_and_gain_by_hand(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64), grad_norms=(1.0, 3.0))
    row = tables(folder, experiment("grpo", "loop", "default"))["arms"].iloc[0]
    half = T2 * 0.02 / math.sqrt(3)
    assert row["accuracy_mean"] == pytest.approx(0.62)
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.62 - half, 0.62 + half))
    assert row["start_accuracy"] == 0.4
    assert row["gain_points"] == pytest.approx(22.0)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((22 - 100 * half, 22 + 100 * half), rel=1e-5)
    assert (row["grad_norm_mean"], row["train_seconds_mean"], row["updates_mean"]) == (2.0, 10.0, 40)
    assert (row["seeds"], row["diverged"]) == (3, 0)
    assert math.isnan(row["ratio_max"]) and pd.isna(row["note"])


def test_difference_interval_and_p_by_hand(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64))
    write_small_arm(folder, "grpo", "a=1", (0.70, 0.72, 0.74))
    row = compared(folder, experiment("grpo", "baselines", "default", "a=1")).loc["a=1"]
    half = T4 * 2 * math.sqrt(2 / 3)
    assert row["difference_points"] == pytest.approx(10.0)
    assert (row["low"], row["high"]) == pytest.approx((10 - half, 10 + half), rel=1e-5)
    expected = stats.ttest_ind([70, 72, 74], [60, 62, 64], equal_var=False).pvalue
    assert row["p"] == row["p_holm"] == pytest.approx(expected)
    assert (row["verdict"], row["n"], row["n_reference"], row["unit"]) == ("higher", 3, 3, "points")


def test_holm_takes_back_a_difference_of_one_of_several(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64))
    write_small_arm(folder, "grpo", "a=1", (0.65, 0.67, 0.69))
    write_small_arm(folder, "grpo", "a=2", (0.60, 0.62, 0.64))
    alone = compared(folder, experiment("grpo", "x", "default", "a=1")).loc["a=1"]
    beside = compared(folder, experiment("grpo", "x", "default", "a=1", "a=2")).loc["a=1"]
    assert alone["verdict"] == "higher" and alone["p"] < 0.05
    assert beside["p"] == alone["p"] and beside["p_holm"] == pytest.approx(2 * alone["p"])
    assert beside["low"] > 0 and beside["verdict"] == "no difference seen"


def test_equal_arms_are_equivalent_only_if_seeds_agree_well_enough(folder):
    for arm in ("default", "a=1"):
        write_small_arm(folder, "grpo", arm, (0.60, 0.61, 0.62))
        write_small_arm(folder, "sft", arm, (0.50, 0.60, 0.70))
    near = compared(folder, experiment("grpo", "x", "default", "a=1")).loc["a=1"]
    far = compared(folder, experiment("sft", "x", "default", "a=1")).loc["a=1"]
    assert (near["difference_points"], near["p"], near["verdict"]) == (0.0, 1.0, "equivalent")
    assert (far["difference_points"], far["p"], far["verdict"]) == (0.0, 1.0, "no difference seen")


def test_arms_without_spread_differ_exactly(folder):
    write_small_arm(folder, "grpo", "default", (0.6, 0.6, 0.6))
    write_small_arm(folder, "grpo", "a=1", (0.6, 0.6, 0.6))
    write_small_arm(folder, "grpo", "a=2", (0.5, 0.5, 0.5))
    rows = compared(folder, experiment("grpo", "x", "default", "a=1", "a=2"))
    assert rows["verdict"].to_dict() == {"a=1": "equivalent", "a=2": "lower"}
    assert rows["p"].to_dict() == {"a=1": 1.0, "a=2": 0.0}


def test_two_seeds_are_compared_and_one_is_not(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62))
    write_small_arm(folder, "grpo", "a=1", (0.30, 0.32))
    write_small_arm(folder, "grpo", "a=2", (0.30,))
    rows = compared(folder, experiment("grpo", "x", "default", "a=1", "a=2"), seeds=2)
    assert (rows.loc["a=1", "n"], rows.loc["a=1", "verdict"]) == (2, "lower")
    alone = rows.loc["a=2"]
    assert alone["n"] == 1 and pd.isna(alone["verdict"])
    assert alone[["difference_points", "low", "high", "p", "p_holm"]].isna().all()
    assert "fewer than two seeds" in alone["note"] and "seed 2 of 2 has no final result" in alone["note"]
    # The arm that cannot be compared does not count among the comparisons.
    assert rows.loc["a=1", "p_holm"] == rows.loc["a=1", "p"]


def test_missing_arm_is_named_and_the_others_go_through(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64))
    write_small_arm(folder, "grpo", "a=1", (0.70, 0.72, 0.74))
    found = tables(folder, experiment("grpo", "x", "default", "a=1", "gone=1"))
    arm = found["arms"].set_index("arm").loc["gone=1"]
    assert arm["seeds"] == 0 and math.isnan(arm["accuracy_mean"])
    assert "validation.csv" in arm["note"] and str(folder) not in arm["note"]
    rows = found["comparisons"].set_index("arm")
    assert rows.loc["a=1", "verdict"] == "higher"
    assert rows.loc["gone=1", "n"] == 0 and "gone=1: not trained" in rows.loc["gone=1", "note"]
    last = found["leaderboard"].iloc[-1]
    assert last["arm"] == "gone=1" and math.isnan(last["rank"])
    assert set(found["curves"]["arm"]) == {"default", "a=1"}


def test_missing_reference_leaves_rows_without_numbers(folder):
    write_small_arm(folder, "grpo", "a=1", (0.70, 0.72, 0.74))
    row = compared(folder, experiment("grpo", "x", "default", "a=1")).loc["a=1"]
    assert (row["n"], row["n_reference"]) == (3, 0) and math.isnan(row["p"])
    assert "default: not trained" in row["note"]


def test_diverged_seeds_stay_in_the_numbers_and_are_noted(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64))
    ending = {"diverged": True, "reason": "a gradient is not finite"}
    norms = (1.0, math.inf)
    write_small_arm(folder, "grpo", "a=1", (0.02, 0.01, 0.03), grad_norms=norms, **ending)
    found = tables(folder, experiment("grpo", "std_normalization", "default", "a=1"))
    arm = found["arms"].set_index("arm").loc["a=1"]
    assert (arm["diverged"], arm["grad_norm_mean"]) == (3, 1.0)
    assert arm["accuracy_mean"] == pytest.approx(0.02)
    rows = found["comparisons"]
    assert (rows["note"] == "3 of 3 seeds of a=1 diverged").all()
    assert rows.set_index("metric")["verdict"].to_dict() == {
        "accuracy": "lower",
        "grad_norm": "no difference seen",
    }


def test_accuracy_that_is_no_number_is_left_out(folder):
    write_small_arm(folder, "grpo", "default", (0.60, math.nan, 0.64))
    arm = tables(folder, experiment("grpo", "loop", "default"))["arms"].iloc[0]
    assert (arm["seeds"], arm["accuracy_seeds"], arm["accuracy_mean"]) == (3, 2, pytest.approx(0.62))


def test_gains_are_measured_from_the_start_of_each_prompt(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.61, 0.62))
    settings = {"prompt": "question_only"}
    write_small_arm(folder, "grpo", "prompt=question_only", (0.50, 0.51, 0.52), settings=settings)
    rows = tables(folder, experiment("grpo", "prompt", "default", "prompt=question_only"))["comparisons"]
    rows = rows.set_index("metric")
    assert rows.loc["accuracy", "difference_points"] == pytest.approx(-10.0)
    assert rows.loc["accuracy", "verdict"] == "lower"
    assert rows.loc["gain", "difference_points"] == pytest.approx(0.0, abs=1e-9)
    assert rows.loc["gain", "verdict"] == "equivalent"


def test_seconds_to_the_level_of_half_the_gain(folder):
    # The reference gains 20 points, so that the level is 0.5: its middle validations, at half of the time.
    write_small_arm(folder, "grpo", "default", (0.60, 0.60, 0.60), seconds=10.0)
    write_small_arm(folder, "grpo", "a=1", (0.60, 0.60, 0.60), seconds=30.0)
    write_small_arm(folder, "grpo", "a=2", (0.60, 0.60, 0.49), seconds=30.0)
    rows = compared(
        folder, experiment("grpo", "off_policy_focused", "default", "a=1", "a=2"), metric="seconds_to_level"
    )
    assert (rows.loc["a=1", "difference_points"], rows.loc["a=1", "unit"]) == (10.0, "seconds")
    slow = rows.loc["a=2"]
    assert (slow["reached"], slow["reached_reference"]) == (2, 3)
    assert math.isnan(slow["difference_points"]) and "never reach" in slow["note"]


def test_there_is_no_level_where_the_reference_gains_nothing(folder):
    for arm in ("default", "a=1"):
        write_small_arm(folder, "grpo", arm, (0.39, 0.40, 0.38))
    row = compared(
        folder, experiment("grpo", "off_policy_focused", "default", "a=1"), metric="seconds_to_level"
    ).loc["a=1"]
    assert (row["reached"], row["reached_reference"]) == (0, 0) and math.isnan(row["p"])


def test_trend_over_sizes_is_spearmans(folder):
    finals = {"default": (0.66, 0.70), "size=128": (0.50, 0.52), "size=256": (0.51, 0.60)}
    sizes = {"default": None, "size=128": 128, "size=256": 256}
    for arm, values in finals.items():
        write_small_arm(folder, "sft", arm, values, settings={"size": sizes[arm]})
    row = compared(folder, experiment("sft", "sizes", *finals), metric="accuracy_trend", seeds=2).iloc[0]
    accuracy = [value for values in finals.values() for value in values]
    expected = stats.spearmanr([3, 3, 1, 1, 2, 2], accuracy)
    assert row["difference_points"] == pytest.approx(expected.statistic)
    assert row["p"] == pytest.approx(expected.pvalue) and row["n"] == 6
    assert row["verdict"] == "higher"


def test_filtered_examples_are_counted_from_the_provenance(folder):
    for arm, used in (("default", 2048), ("filtered=true", 1434)):
        runs = [{"seed": seed, "examples": {"read": 2048, "used": used}} for seed in (1, 2, 3)]
        write_small_arm(folder, "sft", arm, (0.5, 0.51, 0.52), runs=runs)
    row = compared(folder, experiment("sft", "filtered", "default", "filtered=true"), metric="examples").iloc[
        0
    ]
    assert (row["difference_points"], row["verdict"]) == (-614, "lower")


def test_expert_iteration_meets_the_best_sft_arm_and_its_own_start(folder):
    write_small_arm(folder, "sft", "default", (0.50, 0.51, 0.52))
    write_small_arm(folder, "sft", "filtered=true", (0.60, 0.61, 0.62))
    write_small_arm(folder, "sft", "lr=9", (0.70, 0.71, 0.72), diverged=True)
    write_small_arm(folder, "expert_iteration", "default", (0.70, 0.71, 0.72), entropy_mean=0.2)
    found = tables(
        folder,
        experiment("sft", "sweep", "default", "filtered=true", "lr=9"),
        experiment("expert_iteration", "rollouts", "default"),
    )["comparisons"].set_index("experiment")
    against = found.loc["against_sft"]
    assert against["reference"] == "sft/filtered=true"
    assert against["difference_points"] == pytest.approx(10.0) and "flattered" in against["note"]
    entropy = found.loc["over_training"]
    assert (entropy["metric"], entropy["verdict"]) == ("entropy", "lower")
    assert entropy["difference_points"] == pytest.approx(-0.3)


def test_leaderboard_places_the_base_and_shares_ranks(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.61, 0.62))
    write_small_arm(folder, "grpo", "a=1", (0.60, 0.61, 0.62))
    write_small_arm(folder, "sft", "default", (0.30, 0.35, 0.40))
    given = experiment("grpo", "x", "default", "a=1"), experiment("sft", "sweep", "default")
    board = tables(folder, *given)["leaderboard"]
    assert list(board["rank"]) == [1, 1, 3, 4, 5]
    assert list(board["method"]) == ["grpo", "grpo", "zero_shot", "sft", "zero_shot"]
    base = board.iloc[2]
    assert (base["arm"], base["seeds"], base["tokens_sampled_mean"]) == ("r1_zero", 0, 0)
    assert math.isnan(base["low"])


def test_curves_hold_every_validation(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64))
    curves = tables(folder, experiment("grpo", "loop", "default"))["curves"]
    assert list(curves.columns[:5]) == ["method", "arm", "seed", "step", "seconds"]
    assert set(VALIDATION_COLUMNS) <= set(curves.columns) and len(curves) == 9
    assert curves.loc[curves["final"], "accuracy"].to_list() == [0.60, 0.62, 0.64]


def test_seed_that_was_cut_off_is_missing(folder):
    rows = [validation_row(1, 0, 0.4), validation_row(1, 2, 0.6, final=True), validation_row(2, 0, 0.4)]
    write_arm(folder, "grpo", "default", rows, [{"seed": 1, "step": 1}, {"seed": 2, "step": 1}])
    arm = tables(folder, experiment("grpo", "loop", "default"))["arms"].iloc[0]
    assert arm["seeds"] == 1 and arm["note"] == "seeds 2, 3 of 3 have no final result"


def test_same_inputs_give_the_same_bytes(folder):
    write_small_arm(folder, "grpo", "default", (0.60, 0.62, 0.64))
    write_small_arm(folder, "grpo", "a=1", (0.61, 0.67, 0.69))
    given = [experiment("grpo", "clip", "default", "a=1")]
    files = [Path(path) for path in analyse(folder, given).by_name().values()]
    first = [path.read_bytes() for path in files]
    analyse(folder, given)
    assert [path.read_bytes() for path in files] == first


def test_faulty_inputs_are_named(folder):
    write_small_arm(folder, "grpo", "default", (0.6, 0.6, 0.6))
    table = folder / "grpo" / "default" / "validation.csv"
    write_csv(table, ("seed", "step"), [{"seed": 1, "step": 0}])
    with pytest.raises(
        UserError, match=r"validation\.csv: lacks the column\(s\) seconds, problems, accuracy"
    ):
        tables(folder, experiment("grpo", "loop", "default"))


def test_findings_are_json_without_nan(folder):
    write_small_arm(folder, "grpo", "default", (0.60,))
    files = analyse(folder, [experiment("grpo", "loop", "default", "a=1")])

    def refuse(name):
        raise AssertionError(name)

    with open(files.findings) as text:
        assert (
            json.load(text, parse_constant=refuse)["grpo"]["numbers"]["grpo/default gain points seeds"] == 1
        )
