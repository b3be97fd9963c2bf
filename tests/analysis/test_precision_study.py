import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_study import CONFIG, TASKS, write_base, write_run, write_study

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.study import analyse_precision_study
from rlvr.files import read_json, write_json
from rlvr.statistics.power import variance_test_power

FILES = (
    "runs", "arms", "modes", "weights", "drift", "variance_components", "hypotheses", "gain", "matches",
    "predictions", "missing",
)  # fmt: skip


def headline(claims, identity, arm, basis="steps"):
    return next(
        c for c in claims if c["id"] == identity and c["arm"] == arm and c["headline"] and c["basis"] == basis
    )


def analyse(folder, base, runs):
    files = AnalysisFiles.in_folder(folder / "analysis")
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    return files


def test_runs_table_is_one_row_per_run_and_task(analysed_study):
    runs = pd.read_csv(analysed_study.analysis.runs)
    assert len(runs) == 3 * 5 * 6
    assert list(dict.fromkeys(runs["arm"])) == ["fp32", "bf16", "bf16_mixed"]
    assert runs.loc[runs["on_task"], "task"].unique().tolist() == ["add"]
    assert np.allclose(runs["delta_points"], 100 * (runs["accuracy"] - runs["base_accuracy"]))
    assert {"pass_at_1", "pass_at_16", "kl_full", "kl_k1", "kl_k3", "base_accuracy_carry"} <= set(runs)


def test_arms_table_has_students_interval_and_one_with_the_base(analysed_study):
    runs = pd.read_csv(analysed_study.analysis.runs)
    arms = pd.read_csv(analysed_study.analysis.arms).set_index(["arm", "task", "metric", "interval"])
    deltas = runs.loc[(runs["arm"] == "fp32") & (runs["task"] == "add"), "delta_points"]
    row = arms.loc[("fp32", "add", "delta_points", "seeds")]
    expected = stats.t.interval(0.95, 4, deltas.mean(), stats.sem(deltas))
    assert (row["mean"], row["sd"]) == pytest.approx((14.5, 1.1))
    assert (row["low"], row["high"]) == pytest.approx(expected)
    wide = arms.loc[("fp32", "add", "delta_points", "seeds_and_base")]
    assert wide["low"] < row["low"] and wide["high"] > row["high"]


def test_verdicts_follow_the_rules(analysed_study):
    claims = read_json(analysed_study.analysis.hypotheses)
    assert headline(claims, "H1", "bf16")["verdict"] == "refuted"
    assert headline(claims, "H1", "bf16_mixed")["verdict"] == "supported"
    pooled = headline(claims, "H2", "bf16")
    assert pooled["verdict"] == "refuted" and pooled["high"] < CONFIG.h2_smallest_ratio
    runs = pd.read_csv(analysed_study.analysis.runs)
    spread = runs.groupby(["arm", "task"])["delta_points"].var()
    ratios = [spread["bf16", task] / spread["fp32", task] for task in TASKS[1:]]
    assert pooled["effect"] == pytest.approx(stats.gmean(ratios))
    assert pooled["detectable"] == pytest.approx(41, rel=0.08)
    by_task = [
        c
        for c in claims
        if c["id"] == "H2" and c["arm"] == "bf16" and not c["headline"] and c["basis"] == "steps"
    ]
    assert [c["task"] for c in by_task] == list(TASKS[1:])
    assert all(c["pvalue_adjusted"] >= c["pvalue"] and c["beside"]["pvalue"] > 0 for c in by_task)
    assert all(c["sentence"] and c["verdict"] in ("supported", "refuted", "inconclusive") for c in claims)


def test_every_tested_claim_says_what_it_could_have_seen(analysed_study):
    claims = read_json(analysed_study.analysis.hypotheses)
    tested = [c for c in claims if c["pvalue"] is not None]
    assert {(c["id"], c["part"]) for c in tested} == {
        ("H1", "on-task equivalence"), ("H2", "off-task variability"), ("H3", "on-task KL alike"),
        ("H3", "off-task KL larger"), ("H3", "off-task KL more variable"),
    }  # fmt: skip
    assert all(0 <= c["power"] <= 1 and c["detectable"] > 0 and c["detectable_by"] for c in tested)
    pooled = headline(claims, "H2", "bf16")
    assert pooled["power"] == pytest.approx(variance_test_power(5, CONFIG.h2_smallest_ratio, 0.05))
    assert "on a single task (a yardstick for the pooled test)" in pooled["detectable_by"]
    sub = next(c for c in claims if c["id"] == "H2" and c["task"] == "sub" and c["basis"] == "steps")
    assert sub["power"] == pytest.approx(variance_test_power(5, CONFIG.h2_smallest_ratio, 0.05 / 5))
    larger = next(c for c in claims if c["part"] == "off-task KL larger" and c["basis"] == "steps")
    runs = pd.read_csv(analysed_study.analysis.runs)
    off = runs[~runs["on_task"]].assign(log=np.log(runs["kl_full"])).groupby(["arm", "seed"])["log"].mean()
    a, b = off["fp32"], off[larger["arm"]]
    error = math.sqrt(a.var() / 5 + b.var() / 5)
    degrees = error**4 / ((a.var() / 5) ** 2 / 4 + (b.var() / 5) ** 2 / 4)
    law = stats.nct(degrees, math.log(CONFIG.kl_equivalence_ratio) / error)
    assert larger["power"] == pytest.approx(law.sf(stats.t(degrees).ppf(1 - 0.025)))


def test_kl_parts_and_their_agreement(analysed_study):
    claims = read_json(analysed_study.analysis.hypotheses)
    parts = {
        c["part"]: c
        for c in claims
        if c["id"] == "H3" and c["arm"] == "bf16" and not c["headline"] and c["basis"] == "steps"
    }
    assert parts["on-task KL alike"]["verdict"] == "refuted"
    assert parts["on-task KL alike"]["effect"] == pytest.approx(0.099 / 0.279, rel=0.02)
    assert parts["off-task KL larger"]["verdict"] == "refuted"
    raw = [parts[f"off-task KL {part}"]["pvalue"] for part in ("larger", "more variable")]
    adjusted = [parts[f"off-task KL {part}"]["pvalue_adjusted"] for part in ("larger", "more variable")]
    assert min(adjusted) == pytest.approx(min(1.0, 2 * min(raw)))
    off = {parts["off-task KL larger"]["verdict"], parts["off-task KL more variable"]["verdict"]}
    expected = "refuted" if off == {"refuted"} else "inconclusive"
    assert headline(claims, "H3", "bf16")["verdict"] == expected


def test_more_variable_off_task_is_seen_when_it_is_there(tmp_path):
    rng = np.random.default_rng(0)
    base = write_base(tmp_path)
    runs = []
    for arm, spread in (("fp32", 0.2), ("bf16", 4.0)):
        for seed in range(1, 6):
            deltas, kl = rng.normal(0, spread, 6), 0.1 * np.exp(rng.normal(0, spread / 2, 6))
            deltas[0], kl[0] = rng.normal(5, 0.2), 0.1 * math.exp(rng.normal(0, 0.02))
            runs.append(write_run(tmp_path, (arm, seed, 1), deltas, kl))
    claims = read_json(analyse(tmp_path, base, runs).hypotheses)
    assert [headline(claims, name, "bf16")["verdict"] for name in ("H1", "H2", "H3")] == ["supported"] * 3


def test_one_seed_is_inconclusive_and_says_what_it_lacks(tmp_path):
    study = write_study(tmp_path, seeds=1)
    analyse_precision_study(CONFIG, "add", study.base_files, study.run_files, study.analysis)
    claims = read_json(study.analysis.hypotheses)
    assert {claim["verdict"] for claim in claims} == {"inconclusive"}
    parts = [claim for claim in claims if not (claim["id"] == "H3" and claim["headline"])]
    assert all("at least 2" in claim["reason"] for claim in parts)
    assert pd.read_csv(study.analysis.arms)["low"].isna().all()
    assert read_json(study.analysis.gain)[0]["gains"] == "unclear"


def test_two_seeds_give_numbers_but_no_claim_of_variability(tmp_path):
    study = write_study(tmp_path, seeds=2)
    analyse_precision_study(CONFIG, "add", study.base_files, study.run_files, study.analysis)
    pooled = headline(read_json(study.analysis.hypotheses), "H2", "bf16")
    assert pooled["pvalue"] >= 1 / 6 and pooled["detectable"] is None
    assert "with 2 seeds a test on a single task would see no ratio reliably" in pooled["sentence"]


def test_what_could_be_found_is_said_of_the_right_test(tmp_path):
    rng = np.random.default_rng(5)
    base, kl = write_base(tmp_path), np.ones(6)
    labels = [(arm, seed, 1) for arm in ("fp32", "bf16") for seed in range(1, 6)]
    runs = [write_run(tmp_path, label, rng.normal(0, 1, 6), kl) for label in labels]
    claims = [
        c for c in read_json(analyse(tmp_path, base, runs).hypotheses) if c["verdict"] == "inconclusive"
    ]
    by_kind = {c["task"] == "pooled": c["sentence"] for c in claims if c["id"] == "H2" and c["detectable"]}
    assert "; with 5 seeds a test on a single task could not have seen it reliably" in by_kind[True]
    assert "; with 5 seeds this test could not have seen it reliably" in by_kind[False]


def test_kl_that_was_measured_on_some_tasks_only_is_named(tmp_path):
    study = write_study(tmp_path, seeds=2)
    record = read_json(study.run_files[0])
    record["kl"] = record["kl"][:2]
    write_json(study.run_files[0], record)
    analyse_precision_study(CONFIG, "add", study.base_files, study.run_files, study.analysis)
    reasons = {c["reason"] for c in read_json(study.analysis.hypotheses) if c["id"] == "H3"}
    assert "the KL of fp32 seed 1 repeat 1 was not measured on max, rev, sort, rot" in reasons


def test_files_by_name():
    names = AnalysisFiles.in_folder("<results>/analysis").by_name()
    assert tuple(names) == FILES and names["gain"] == "<results>/analysis/gain.json"


def test_policies_that_solve_nothing(tmp_path):
    zeros = (0.0,) * len(TASKS)
    base = write_base(tmp_path, accuracies=zeros)
    runs = [
        write_run(tmp_path, (arm, seed, 1), zeros, zeros, base=zeros)
        for arm in ("fp32", "bf16")
        for seed in (1, 2)
    ]
    files = analyse(tmp_path, base, runs)
    claims = read_json(files.hypotheses)
    assert {claim["verdict"] for claim in claims} == {"inconclusive"}
    assert "no arm has any spread" in headline(claims, "H1", "bf16")["reason"]
    assert all(gain["near_zero"] for gain in read_json(files.gain))


def test_one_arm_and_one_task(tmp_path):
    base = write_base(tmp_path, tasks=("add",), accuracies=(0.5,))
    runs = [
        write_run(tmp_path, (arm, seed, 1), (seed * 1.0,), (0.1 * seed,), tasks=("add",), base=(0.5,))
        for arm in ("fp32", "bf16")
        for seed in (1, 2, 3)
    ]
    alone = analyse(tmp_path, base, runs[:3])
    assert read_json(alone.hypotheses) == []
    both = read_json(analyse(tmp_path, base, runs).hypotheses)
    assert headline(both, "H2", "bf16")["reason"] == "there is no off-task"


def test_repeats_measure_non_determinism(tmp_path):
    rng = np.random.default_rng(1)
    base = write_base(tmp_path)
    runs = []
    for seed in (1, 2, 3):
        for rep in (1, 2):
            same = dict(weight_hash=f"s{seed}")
            runs.append(write_run(tmp_path, ("fp32", seed, rep), np.ones(6), np.ones(6), rng=rng, **same))
            runs.append(write_run(tmp_path, ("bf16", seed, rep), np.full(6, rep * 4.0), np.ones(6)))
    table = pd.read_csv(analyse(tmp_path, base, runs).variance_components)
    repeats = table[table["component"] == "non_determinism"].set_index(["arm", "task"])
    assert repeats.loc[("fp32", "add"), "variance_points2"] == 0.0
    assert "identical weights" in repeats.loc[("fp32", "add"), "note"]
    # Repeats at 4 and 8 points: variance 8 within every seed.
    assert repeats.loc[("bf16", "add"), "variance_points2"] == pytest.approx(8.0)


def test_gain_includes_the_error_of_the_base(analysed_study):
    gain = {row["arm"]: row for row in read_json(analysed_study.analysis.gain)}
    assert gain["fp32"]["gains"] == "yes"
    assert gain["fp32"]["low_with_base"] < gain["fp32"]["low"]
    assert gain["fp32"]["mean"] == pytest.approx(14.5)


def test_a_gain_without_the_error_of_the_base_or_without_spread(tmp_path):
    rng = np.random.default_rng(3)
    base = write_base(tmp_path, without_error=("add",))
    labels = [(arm, seed, 1) for arm in ("fp32", "bf16") for seed in range(1, 5)]
    runs = [
        write_run(
            tmp_path,
            label,
            (5.0 + (label[0] == "bf16") * rng.normal(0, 0.2), *rng.normal(0, 1, 5)),
            np.ones(6),
        )
        for label in labels
    ]
    gain = {row["arm"]: row for row in read_json(analyse(tmp_path, base, runs).gain)}
    assert gain["bf16"]["gains"] == "yes" and gain["bf16"]["low"] > 0
    assert gain["bf16"]["low_with_base"] is None and gain["bf16"]["high_with_base"] is None
    assert "the base's sampling error unknown" in gain["bf16"]["sentence"]
    assert gain["fp32"]["gains"] == "unclear" and gain["fp32"]["low"] is None and gain["fp32"]["sd"] == 0
    assert gain["fp32"]["sentence"] == (
        "fp32: +5.0 points on add; the seeds do not differ, so there is no interval, and a gain is not shown."
    )


def test_same_inputs_same_bytes_whatever_their_order(analysed_study, tmp_path):
    again = AnalysisFiles.in_folder(tmp_path)
    files = analysed_study.run_files[::-1]
    analyse_precision_study(CONFIG, "add", analysed_study.base_files, files, again)
    for name in FILES:
        first, second = getattr(analysed_study.analysis, name), getattr(again, name)
        assert first.read_bytes() == second.read_bytes()


def test_drift_has_a_row_per_run_task_and_step(analysed_study):
    drift = pd.read_csv(analysed_study.analysis.drift)
    runs = pd.read_csv(analysed_study.analysis.runs)
    assert len(drift) == 2 * len(runs)
    last = drift[drift["step"] == 120].merge(runs, on=["arm", "seed", "rep", "task"])
    assert (last["kl_full_x"] == last["kl_full_y"]).all()
    assert set(drift["step"]) == {60, 120}
