"""Which tasks enter H2, when nothing is refuted, and how H3 is told."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from synthetic_study import BASE, CONFIG, write_base, write_run

from rlvr.analysis.divergence_words import whole_change
from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.hypothesis import Hypothesis, ratio_words
from rlvr.analysis.study import analyse_precision_study
from rlvr.files import read_json, write_json


def claims_of(folder, base, runs):
    files = AnalysisFiles.in_folder(folder / "analysis")
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    return [claim for claim in read_json(files.hypotheses) if claim["basis"] == "steps"]


def floor_study(tmp_path, rng, right):
    """Two arms whose off-task rev has so many right responses of 512 × 16 a run, by arm and seed."""
    accuracies = (*BASE[:3], 0.0, *BASE[4:])
    base, runs = write_base(tmp_path, accuracies=accuracies), []
    for arm, counts in right.items():
        for seed, count in enumerate(counts, 1):
            deltas = rng.normal(0, 1, 6)
            deltas[3] = 100 * count / (512 * 16)
            runs.append(write_run(tmp_path, (arm, seed, 1), deltas, np.ones(6), base=accuracies))
    return claims_of(tmp_path, base, runs)


def test_a_task_near_its_floor_is_left_out_and_named(tmp_path):
    right = {"fp32": [11, 13, 8, 12, 15], "bf16": [9, 7, 12, 9, 10]}
    claims = floor_study(tmp_path, np.random.default_rng(2), right)
    by_task = {c["task"]: c for c in claims if c["id"] == "H2"}
    rev, pooled = by_task["rev"], by_task["pooled"]
    assert rev["verdict"] == "inconclusive" and rev["pvalue"] is None and rev["effect"] is None
    assert rev["reason"] == (
        "near floor or ceiling: a run of bf16 has 9.4 right and 8,182.6 wrong responses on average; at least "
        "10 of each are needed"
    )
    assert rev["change"] == "More problems of rev, or more samples per problem, would allow a test."
    assert "; left out: rev (near floor or ceiling)." in pooled["sentence"]
    assert "over 4 tasks (pooled)" in pooled["sentence"]
    assert {by_task[task]["adjustment"] for task in ("sub", "max", "sort", "rot")} == {"Holm over 4 tasks"}
    ratios = [by_task[task]["effect"] for task in ("sub", "max", "sort", "rot")]
    assert pooled["effect"] == pytest.approx(stats.gmean(ratios))


def test_a_task_with_ten_of_each_on_average_enters(tmp_path):
    right = {"fp32": [11, 13, 8, 12, 15], "bf16": [9, 7, 12, 12, 10]}
    claims = floor_study(tmp_path, np.random.default_rng(2), right)
    rev = next(c for c in claims if c["id"] == "H2" and c["task"] == "rev")
    assert rev["pvalue"] is not None and rev["adjustment"] == "Holm over 5 tasks"


def test_a_task_without_spread_in_one_arm_is_left_out_and_named(tmp_path):
    right = {"fp32": [20] * 5, "bf16": [19, 17, 22, 22, 20]}
    claims = floor_study(tmp_path, np.random.default_rng(2), right)
    by_task = {c["task"]: c for c in claims if c["id"] == "H2"}
    assert by_task["rev"]["reason"] == "the ratio is undefined, since fp32 did not vary over its seeds"
    assert "left out: rev (no spread in fp32)" in by_task["pooled"]["sentence"]


def sampled_study(tmp_path, spreads):
    """fp32 is the more variable arm by far; the halves of a run differ with these sd in points, by arm."""
    rng = np.random.default_rng(6)
    base, runs = write_base(tmp_path), []
    for arm, sd in (("fp32", 3.0), ("bf16", 1.0)):
        noise = rng.standard_normal((6, 6))
        deltas = sd * (noise - noise.mean(0)) / noise.std(0, ddof=1)
        for seed in range(6):
            path = write_run(tmp_path, (arm, seed + 1, 1), deltas[seed], np.ones(6))
            record = read_json(path)
            for task in record["tasks"]:
                shift = spreads[arm] / 100 * (-1) ** seed
                task["accuracy_halves"] = [task["accuracy"] + shift, task["accuracy"] - shift]
            write_json(path, record)
            runs.append(path)
    return next(c for c in claims_of(tmp_path, base, runs) if c["id"] == "H2" and c["headline"])


def test_the_share_of_evaluation_sampling_is_said(tmp_path):
    # Halves at ±s about the score, alternating, have sampling variance s²·6/5; the scores' variance is sd².
    found = sampled_study(tmp_path, {"fp32": 0.5, "bf16": 0.5})
    assert found["sampling_share_reference"] == pytest.approx(0.25 * 6 / 5 / 9)
    assert found["sampling_share_arm"] == pytest.approx(0.25 * 6 / 5)
    assert found["verdict"] == "refuted"
    assert "evaluation sampling makes up 3 % of the variance in fp32, 30 % in bf16" in found["sentence"]


def test_where_sampling_is_most_of_the_variance_nothing_is_refuted(tmp_path):
    found = sampled_study(tmp_path, {"fp32": 0.5, "bf16": 0.7})
    assert found["sampling_share_arm"] == pytest.approx(0.49 * 6 / 5)
    assert found["high"] < CONFIG.h2_smallest_ratio and found["verdict"] == "inconclusive"
    assert "it makes up more than half of the variance in bf16" in found["reason"]
    assert found["reason"] in found["sentence"]
    assert found["change"].startswith("More samples per problem would make evaluation sampling")
    more = sampled_study(tmp_path / "more", {"fp32": 0.5, "bf16": 5.0})
    assert more["sampling_share_arm"] == 1.0


def test_the_whole_of_h3_is_told_with_numbers_and_without_names_of_parts(analysed_study):
    claims = [c for c in read_json(analysed_study.analysis.hypotheses) if c["basis"] == "steps"]
    whole = next(c for c in claims if (c["id"], c["arm"]) == ("H3", "bf16") and c["headline"])
    parts = {c["part"]: c for c in claims if c["id"] == "H3" and c["arm"] == "bf16" and not c["headline"]}
    size, variance = (
        ratio_words(parts[f"off-task KL {half}"]["effect"]) for half in ("larger", "more variable")
    )
    on_task = ratio_words(parts["on-task KL alike"]["effect"])
    assert whole["sentence"].startswith(
        f"On-task, KL of bf16 to the base is {on_task} times that of fp32, further apart than a factor of "
        f"1.25. Off-task, KL is {size} times as large and its variance over seeds {variance} times as large: "
    )
    assert "as to its variance, with 5 seeds a test on a single task could not have seen" in whole["sentence"]
    assert whole["sentence"].endswith("One part of the claim is undecided.")
    assert whole["change"].startswith("As to whether KL varies more off-task: if the true ratio")
    assert not any(part in whole["sentence"] + whole["change"] for part in parts)


def test_the_undecided_part_is_the_one_that_would_change_h3():
    def part(name, verdict, p):
        return Hypothesis(
            "H3", name, "bf16", "fp32", "x", False, "ratio", 5, 5, pvalue=p, verdict=verdict, change="More."
        )

    on_task = part("on-task KL alike", "supported", 0.01)
    halves = [
        part("off-task KL larger", "inconclusive", 0.4),
        part("off-task KL more variable", "refuted", 0.0),
    ]
    assert whole_change(on_task, halves, "inconclusive") == "As to whether KL is larger off-task: more."
    open_on_task = replace(on_task, verdict="inconclusive")
    assert whole_change(open_on_task, halves, "inconclusive").startswith("As to whether KL is alike on-task:")
    # Both are decided: each part's own, and a p of exactly 0 is the smallest.
    decided = [replace(halves[0], verdict="refuted"), replace(halves[1], verdict="supported")]
    told = whole_change(replace(on_task, verdict="refuted"), decided, "supported")
    assert told == "As to whether KL is alike on-task: more. As to whether KL varies more off-task: more."
