"""Matching of checkpoints at equal on-task progress, by hand-computed cases."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_study import BASE, CONFIG, TASKS, drift_of, snapshot, write_base, write_run

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.judging import judge_hypotheses
from rlvr.analysis.load import load_study
from rlvr.analysis.progress import match_progress, match_words, matches_table
from rlvr.analysis.study import analyse_precision_study
from rlvr.config.precision import EqualProgressConfig
from rlvr.files import read_json

ONES = (1.0,) * len(TASKS)
ACCURACY = replace(CONFIG, equal_progress=EqualProgressConfig("accuracy", 1.5, 2.0))


def points(*on_task):
    """Checkpoints of a run: (step, on-task ΔJ in points, on-task KL); off-task ΔJ and KL are 1."""
    return tuple(
        snapshot(step, task, base + (delta if task == "add" else 1.0) / 100, kl if task == "add" else 1.0)
        for step, delta, kl in on_task
        for task, base in zip(TASKS, BASE, strict=True)
    )


def study_of(tmp_path, fp32, bf16):
    """Runs of two arms with the given checkpoints, a list per seed."""
    base = write_base(tmp_path)
    files = [
        write_run(tmp_path, (arm, seed, 1), ONES, ONES, drift=points(*own))
        for arm, runs in (("fp32", fp32), ("bf16", bf16))
        for seed, own in enumerate(runs, 1)
    ]
    return load_study([base], files, "add", "fp32")


def chosen(matched):
    return {(match.run.arm, match.run.seed): match.step for match in matched.matches if match.matched}


def test_one_step_stands_for_all_seeds_of_an_arm(tmp_path):
    study = study_of(
        tmp_path,
        fp32=[
            [(50, 3, 0.10), (100, 9, 0.40)],
            [(50, 3, 0.16), (100, 9, 0.90)],
            # Alone, this seed would be nearer to the level at step 100.
            [(50, 3, 0.06), (100, 9, 0.15)],
        ],
        bf16=[[(50, 1, 0.05), (100, 2, 0.09)], [(50, 1, 0.05), (100, 2, 0.16)]],
    )
    matched = match_progress(study, CONFIG, "bf16")
    # Geometric means: bf16 ends at √(0.09·0.16) = 0.12; fp32 is at (0.1·0.16·0.06)^⅓ = 0.0986 at step 50.
    assert matched.level == pytest.approx(0.12)
    steps = {("fp32", 1): 50, ("fp32", 2): 50, ("fp32", 3): 50, ("bf16", 1): 100, ("bf16", 2): 100}
    assert chosen(matched) == steps
    mean = 0.00096 ** (1 / 3)
    assert [match.arm_progress for match in matched.matches] == pytest.approx([mean] * 3 + [0.12] * 2)
    assert [match.progress for match in matched.matches] == pytest.approx([0.10, 0.16, 0.06, 0.09, 0.16])
    assert [match.distance for match in matched.matches] == pytest.approx([0.12 / mean] * 5)
    assert matched.reason == ""
    assert match_words(matched, CONFIG.equal_progress) == (
        "on-task KL near 0.12 nats: fp32 at step 50 (mean 0.099), bf16 at step 100 (mean 0.12)"
    )
    at = {(run.label.arm, run.label.seed): run for run in matched.study.runs}
    assert at["fp32", 3].kl["add"].full == pytest.approx(0.06)
    assert matched.study.delta_points(at["fp32", 1], "add") == pytest.approx(3.0)
    assert at["fp32", 1].weight_hash == "" and at["bf16", 1].weight_hash == "bf16-1-1"


def test_nearness_is_a_factor_for_kl_and_a_gap_for_accuracy(tmp_path):
    # From 0.1, 0.05 is a factor of 2 away and 0.19 one of 1.9; the gap to 0.05 is the smaller one.
    fp32 = [[(10, 1, 0.05), (20, 4, 0.19), (30, 9, 0.9)]] * 2
    study = study_of(tmp_path, fp32, [[(30, 3, 0.1)], [(30, 1, 0.1)]])
    wide = replace(CONFIG, equal_progress=EqualProgressConfig("kl", 2.5, 2.0))
    by_kl = match_progress(study, wide, "bf16")
    assert chosen(by_kl)["fp32", 1] == 20 and by_kl.matches[0].distance == pytest.approx(1.9)
    by_gain = match_progress(study, ACCURACY, "bf16")
    # The level is the arithmetic mean of 3 and 1 points; step 10 (1 point) is nearer than step 20 (4 points).
    assert by_gain.level == pytest.approx(2.0)
    assert chosen(by_gain)["fp32", 1] == 10 and chosen(by_gain)["bf16", 2] == 30
    assert [match.distance for match in by_gain.matches] == pytest.approx([1.0] * 4)


def test_only_steps_that_all_seeds_have_count(tmp_path):
    fp32 = [[(40, 3, 0.10), (50, 3, 0.12), (100, 9, 0.5)], [(50, 3, 0.12), (100, 9, 0.5), (120, 9, 0.6)]]
    study = study_of(tmp_path, fp32, [[(100, 2, 0.1)], [(100, 2, 0.1)]])
    matched = match_progress(study, CONFIG, "bf16")
    assert chosen(matched)["fp32", 1] == chosen(matched)["fp32", 2] == 50
    assert {match.last_step for match in matched.matches if match.run.arm == "fp32"} == {100}


def test_a_step_at_which_a_seed_has_no_kl_is_not_near(tmp_path):
    fp32 = [[(10, 1, 0.0), (50, 3, 0.12), (100, 9, 0.5)], [(10, 1, 0.1), (50, 3, 0.12), (100, 9, 0.5)]]
    study = study_of(tmp_path, fp32, [[(100, 2, 0.1)], [(100, 2, 0.1)]])
    assert chosen(match_progress(study, CONFIG, "bf16"))["fp32", 1] == 50


def test_the_last_step_is_the_largest_whatever_the_order(tmp_path):
    fp32 = [[(100, 9, 0.1), (50, 3, 0.09)], [(100, 9, 0.1), (50, 3, 0.09)]]
    study = study_of(tmp_path, fp32, [[(100, 2, 0.1)], [(100, 2, 0.1)]])
    matched = match_progress(study, CONFIG, "bf16")
    assert chosen(matched)["fp32", 1] == 100
    assert [run.weight_hash for run in matched.study.seeds("fp32")] == ["fp32-1-1", "fp32-2-1"]


def test_arms_too_far_apart_are_not_compared_and_say_why(tmp_path):
    study = study_of(
        tmp_path,
        fp32=[[(50, 3, 0.2), (100, 9, 0.5)], [(50, 3, 0.2), (100, 9, 0.5)]],
        bf16=[[(50, 1, 0.05), (100, 2, 0.1)], [(50, 1, 0.05), (100, 2, 0.1)]],
    )
    reason = (
        "the nearest step of fp32, 50 (mean 0.20), is a factor of 2.00 from bf16 at step 100 (mean 0.10); "
        "allowed: 1.5"
    )
    table = matches_table(study, CONFIG)
    assert set(table["reason"]) == {reason} and not table["matched"].any()
    assert table["step"].tolist() == [50, 50, 100, 100] and set(table["measure"]) == {"kl"}
    assert table["level"].tolist() == pytest.approx([0.1] * 4)
    claims = [claim for claim in judge_hypotheses(study, CONFIG) if claim.basis == "progress"]
    assert [(claim.id, claim.verdict, claim.headline) for claim in claims] == [
        (name, "inconclusive", True) for name in ("H1", "H2", "H3")
    ]
    assert {claim.reason for claim in claims} == {reason}
    assert {claim.change for claim in claims} == {
        "More snapshots of fp32, or a wider limit, would give steps to compare."
    }
    assert all(reason in claim.sentence for claim in claims)


def test_without_snapshots_or_without_any_kl_nothing_is_matched(tmp_path):
    unscored = study_of(tmp_path / "a", fp32=[[(100, 9, 0.5)], [(100, 9, 0.5)]], bf16=[[], [(100, 9, 0.5)]])
    matched = match_progress(unscored, CONFIG, "bf16")
    assert matched.reason == ("no step of bf16 was scored on every task in all of its seeds (none in seed 1)")
    assert matched.change.startswith("Snapshots of every seed")
    still = study_of(
        tmp_path / "b", fp32=[[(100, 9, 0.5)], [(100, 9, 0.5)]], bf16=[[(100, 0, 0.0)], [(100, 0, 0.1)]]
    )
    matched = match_progress(still, CONFIG, "bf16")
    assert matched.reason.startswith("an on-task KL of bf16 to the base is not above 0 at its last step, 100")
    assert matched.change.startswith("Runs that move away from the base")
    assert len(matches_table(still, CONFIG)) == 4
    # Gains need no logarithm.
    assert match_progress(still, ACCURACY, "bf16").level == 0.0


def near(rng, *values):
    """Positive values with 3 % of scatter."""
    return np.array(values) * np.exp(rng.normal(0, 0.03, len(values)))


@pytest.fixture(scope="module")
def opposed(tmp_path_factory):
    """At step 50 fp32 is where bf16 ends, off-task with less KL and spread; at its own end it has more."""
    folder = tmp_path_factory.mktemp("opposed")
    rng = np.random.default_rng(3)
    base, files = write_base(folder), []
    for seed in range(1, 7):
        half = [6 + rng.normal(0, 0.05), *rng.normal(0, 0.1, 5)], near(rng, 0.1, *[0.04] * 5)
        end = [12 + rng.normal(0, 0.05), *rng.normal(0, 5, 5)], near(rng, 0.3, *[0.2] * 5)
        drift = (*drift_of(*half, shares=[(50, 1)]), *drift_of(*end, shares=[(100, 1)]))
        files.append(write_run(folder, ("fp32", seed, 1), *end, drift=drift))
        end = [6 + rng.normal(0, 0.05), *rng.normal(0, 5, 5)], near(rng, 0.1, *[0.12] * 5)
        drift = drift_of(*end, shares=[(50, 0.5), (100, 1)])
        files.append(write_run(folder, ("bf16", seed, 1), *end, drift=drift))
    out = AnalysisFiles.in_folder(folder / "analysis")
    analyse_precision_study(CONFIG, "add", [base], files, out)
    return out


def test_equal_steps_and_equal_progress_may_answer_differently(opposed):
    claims = {(c["id"], c["basis"]): c for c in read_json(opposed.hypotheses) if c["headline"]}
    assert claims["H2", "steps"]["verdict"] != "supported"
    assert claims["H2", "progress"]["verdict"] == "supported"
    assert claims["H3", "progress"]["verdict"] == "supported"
    parts = {(c["part"], c["basis"]): c["verdict"] for c in read_json(opposed.hypotheses) if c["id"] == "H3"}
    assert parts["off-task KL larger", "steps"] == "refuted"
    assert parts["off-task KL larger", "progress"] == "supported"
    assert parts["on-task KL alike", "steps"] == "refuted"


def test_what_holds_by_construction_is_said(opposed):
    claims = [c for c in read_json(opposed.hypotheses) if c["basis"] == "progress"]
    by_construction = {c["part"] for c in claims if c["caveat"]}
    assert by_construction == {"on-task KL alike", "KL on-task and off-task"}
    assert all("partly by construction" in c["sentence"] for c in claims if c["caveat"])
    assert all(c["sentence"].startswith("At equal on-task progress (on-task KL near 0.") for c in claims)
    whole = next(c for c in claims if c["id"] == "H3" and c["headline"])
    assert re.search(
        r"fp32 at step 50 \(mean 0\.\d+\), bf16 at step 100 \(mean 0\.\d+\); 4 samples per problem\): "
        r"on-task, KL of bf16 to the base is ",
        whole["sentence"],
    )


def test_both_sides_have_the_samples_of_a_snapshot(opposed):
    matches, drift = pd.read_csv(opposed.matches), pd.read_csv(opposed.drift)
    assert matches["matched"].all() and len(matches) == 12
    assert set(drift["samples"]) == {4} and set(pd.read_csv(opposed.runs)["samples"]) == {16}
    # The effect at equal progress is that of the matched rows of drift.csv.
    picked = drift[drift["task"] == "add"].merge(
        matches.rename(columns={"arm": "_", "run_arm": "arm"}), on=["arm", "seed", "step"]
    )
    means = picked.groupby("arm")["delta_points"].mean()
    whole = next(c for c in read_json(opposed.hypotheses) if c["id"] == "H1" and c["basis"] == "progress")
    assert len(picked) == 12
    assert whole["effect"] == pytest.approx(means["bf16"] - means["fp32"])


def test_matching_by_gain_makes_the_gain_alike_by_construction(tmp_path):
    study = study_of(
        tmp_path,
        fp32=[[(50, 3.0, 0.1), (100, 9, 0.5)], [(50, 3.2, 0.1), (100, 9.1, 0.5)]],
        bf16=[[(100, 3.1, 0.1)], [(100, 3.0, 0.1)]],
    )
    claims = [c for c in judge_hypotheses(study, ACCURACY) if c.basis == "progress"]
    assert {(c.id, c.part) for c in claims if c.caveat} == {("H1", "on-task equivalence")}
    assert claims[0].seeds_arm == claims[0].seeds_reference == 2
    assert (
        "on-task gain near 3.0 points" in claims[0].sentence or "on-task gain near 3.1" in claims[0].sentence
    )
