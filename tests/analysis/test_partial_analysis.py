"""Studies of which something is missing or broken: the rest is analysed, and what is not is named."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from synthetic_study import TASKS, WITHOUT_UPDATE, write_base, write_metrics, write_run, write_study

from rlvr.__main__ import main
from rlvr.analysis.load import MissingRun, load_study, missing_words
from rlvr.analysis.metrics import (
    OF_APPLIED_UPDATES,
    OF_SOME_STEPS,
    OF_THE_BATCH,
    OF_THE_RATIO,
    metrics_fault,
)
from rlvr.analysis.partial import analyse_existing, expected_runs
from rlvr.config.load import validate_config
from rlvr.errors import UserError
from rlvr.evaluation.records import RunLabel
from rlvr.files import read_json

ZEROS, ONES = (0.0,) * len(TASKS), (1.0,) * len(TASKS)


@pytest.fixture
def partial(tmp_path, monkeypatch):
    """A config of two modes and four seeds, and its study under results/ of the working directory."""
    config = validate_config({"name": "part", "precision": {"modes": ["fp32", "bf16"], "seeds": 4}})
    assert config["precision"]["evaluation"]["suites"] == {"families": list(TASKS)}
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "part" / "precision"
    write_study(folder, arms=("fp32", "bf16"), seeds=4)
    return config, folder


def _break(file, name, value):
    """Replace a number of the first task by one that JSON should not have."""
    record = read_json(file)
    record["tasks"][0][name] = value
    file.write_text(json.dumps(record))


def test_a_complete_study_has_nothing_missing(partial, tmp_path):
    config, _ = partial
    assert analyse_existing(config, tmp_path / "out") == ()
    assert (tmp_path / "out" / "missing.csv").read_text() == "arm,seed,rep,reason\n"


def test_what_is_missing_or_broken_is_left_out_and_named(partial, tmp_path):
    config, folder = partial
    shutil.rmtree(folder / "eval" / "bf16" / "seed3")
    _break(folder / "eval" / "fp32" / "seed2" / "rep1" / "families.json", "accuracy", float("nan"))
    gone = analyse_existing(config, tmp_path / "out")
    assert [(lost.label.arm, lost.label.seed) for lost in gone] == [("fp32", 2), ("bf16", 3)]
    missing = pd.read_csv(tmp_path / "out" / "missing.csv").set_index(["arm", "seed"])["reason"]
    assert missing["fp32", 2] == "accuracy on add is not a finite number"
    assert missing["bf16", 3] == "it has not been evaluated: families.json is not there"
    claims = read_json(tmp_path / "out" / "hypotheses.json")
    told = " fp32 has seeds 1, 3, 4 of 4; seed 2 is missing. bf16 has seeds 1, 2, 4 of 4; seed 3 is missing."
    assert all(claim["sentence"].endswith(told) for claim in claims)
    steps = [claim for claim in claims if claim["basis"] == "steps"]
    assert {(claim["seeds_reference"], claim["seeds_arm"]) for claim in steps} == {(3, 3)}
    assert all(claim["pvalue"] is not None for claim in steps if claim["id"] == "H1")
    arms = pd.read_csv(tmp_path / "out" / "arms.csv").groupby("arm")["seeds_missing"].unique()
    assert {arm: lost.tolist() for arm, lost in arms.items()} == {"fp32": [2], "bf16": [3]}
    gains = read_json(tmp_path / "out" / "gain.json")
    assert [gain["sentence"].endswith("is missing.") for gain in gains] == [True, True]


def test_metrics_that_are_not_numbers_are_named_by_step_and_column(partial, tmp_path):
    config, folder = partial
    path = folder / "train" / "bf16" / "seed1" / "rep1" / "metrics.csv"
    table = pd.read_csv(path)
    assert metrics_fault(path) == ""
    table.loc[6, "loss"] = None
    table.to_csv(path, index=False)
    assert metrics_fault(path) == f"loss of step 7 in {path} is not a finite number"
    # A step without an update has no loss, and that is no fault.
    table.loc[6, ["updates", *WITHOUT_UPDATE]] = [0, *[None] * len(WITHOUT_UPDATE)]
    table.to_csv(path, index=False)
    assert metrics_fault(path) == ""
    table.loc[8, "ratio_max"] = float("inf")
    table.to_csv(path, index=False)
    gone = analyse_existing(config, tmp_path / "out")
    assert [lost.label for lost in gone] == [RunLabel("bf16", 1, 1)]
    assert gone[0].reason.startswith("ratio_max of step 9 in results/part/precision/train/bf16/seed1")


def faulty(tmp_path, changes):
    """The fault of a run's metrics after changes, a dict of (row, column) to value."""
    path = write_metrics(tmp_path / "metrics.csv", ("fp32", 1, 1), np.random.default_rng(0), steps=20)
    table = pd.read_csv(path).astype({column: float for _, column in changes})
    for (row, column), value in changes.items():
        table.loc[row, column] = value
    table.to_csv(path, index=False)
    return metrics_fault(path).split(" in ")[0]


@pytest.mark.parametrize("column", ["accuracy", "logprob_mismatch_mean", "loss_scale", "tokens"])
def test_an_empty_cell_of_a_step_with_an_update_is_a_fault(tmp_path, column):
    assert faulty(tmp_path, {(4, column): None}) == f"{column} of step 5"


def test_the_gradient_norm_may_be_empty_where_all_updates_were_skipped(tmp_path):
    skipped = {(4, "grad_norm"): None, (4, "updates_skipped"): 2}
    assert faulty(tmp_path, skipped) == ""
    assert faulty(tmp_path, skipped | {(4, "updates_skipped"): 1}) == "grad_norm of step 5"
    assert faulty(tmp_path, skipped | {(4, "loss"): None}) == "loss of step 5"


def test_moments_may_be_empty_until_a_gradient_is_applied(tmp_path):
    first = {
        (row, name): None
        for row in (0, 1)
        for name in ("lost_update", "second_moments_stuck", "updates_lost")
    }
    none_applied = {(row, "grad_norm"): None for row in (0, 1)} | {
        (row, "updates_skipped"): 2 for row in (0, 1)
    }
    assert faulty(tmp_path, first | none_applied) == ""
    assert faulty(tmp_path, first) == "updates_lost of step 1"
    assert faulty(tmp_path, first | none_applied | {(2, "lost_update"): None}) == "lost_update of step 3"


def test_a_loss_without_a_ratio_has_no_clipping_in_any_step(tmp_path):
    without = {(row, name): None for row in range(20) for name in ("clip_fraction", "ratio_max")}
    assert faulty(tmp_path, without) == ""
    assert faulty(tmp_path, {(3, "ratio_max"): None}) == "ratio_max of step 4"


def test_the_columns_that_a_step_without_an_update_leaves_empty_are_the_training_loops():
    from rlvr.training.grpo import _empty_update

    empty = {name for name, value in _empty_update().items() if np.isnan(value)}
    named = {*OF_THE_BATCH, *OF_SOME_STEPS, *OF_THE_RATIO, *OF_APPLIED_UPDATES}
    assert empty == named == set(WITHOUT_UPDATE)


def test_runs_that_cannot_be_compared_are_left_out_one_by_one(partial, tmp_path):
    config, folder = partial
    suites = [folder / "eval" / "bf16" / f"seed{seed}" / "rep1" / "families.json" for seed in (1, 2, 3)]
    records = [read_json(suite) for suite in suites]
    del records[0]["tasks"][5]
    records[1]["tasks"][2]["problems"] = 100
    for suite, record in zip(suites, records, strict=True):
        suite.write_text(json.dumps(record))
    gone = {lost.label.seed: lost.reason for lost in analyse_existing(config, tmp_path / "out")}
    assert gone == {
        1: "bf16 seed 1 repeat 1 has no result on rot",
        2: "bf16 seed 2 repeat 1 has 100 problems of max, the base 512",
    }
    assert set(pd.read_csv(tmp_path / "out" / "missing.csv")["seed"]) == {1, 2}


def test_suites_of_other_weights_are_left_out_and_named(tmp_path):
    base, half = write_base(tmp_path), {"tasks": TASKS[:3], "base": (0.5,) * 3}
    files = [write_run(tmp_path, ("fp32", seed, 1), ZEROS, ONES) for seed in (1, 2)]
    other = write_run(tmp_path / "b", ("fp32", 3, 1), ZEROS[:3], ONES[:3], weight_hash="one", **half)
    rest = {"tasks": TASKS[3:], "base": (0.5,) * 3}
    files += [
        other,
        write_run(tmp_path / "c", ("fp32", 3, 1), ZEROS[:3], ONES[:3], weight_hash="two", **rest),
    ]
    study = load_study([base], files, "add", "fp32", partial=True)
    assert [run.label.seed for run in study.runs] == [1, 2]
    assert study.missing[0].reason.endswith("other suites of fp32 seed 3 repeat 1 scored other weights")
    with pytest.raises(UserError, match="scored other weights; evaluate it again"):
        load_study([base], files, "add", "fp32")


def test_a_single_seed_left_is_named(partial, tmp_path):
    config, folder = partial
    for seed in (2, 3, 4):
        shutil.rmtree(folder / "eval" / "bf16" / f"seed{seed}")
    analyse_existing(config, tmp_path / "out")
    claims = read_json(tmp_path / "out" / "hypotheses.json")
    assert {claim["verdict"] for claim in claims} == {"inconclusive"}
    assert all("bf16 has seeds 1 of 4; seeds 2, 3, 4 are missing." in claim["sentence"] for claim in claims)
    h1 = next(claim for claim in claims if claim["id"] == "H1")
    assert "at least 2" in h1["reason"]


def test_an_arm_or_the_reference_without_any_run(partial, tmp_path):
    config, folder = partial
    shutil.rmtree(folder / "eval" / "fp32")
    gone = analyse_existing(config, tmp_path / "out")
    assert len(gone) == 4
    assert read_json(tmp_path / "out" / "hypotheses.json") == []
    assert set(pd.read_csv(tmp_path / "out" / "arms.csv")["arm"]) == {"bf16"}
    shutil.rmtree(folder / "eval" / "bf16")
    with pytest.raises(UserError, match=r"no run of .* is complete; first: it has not been evaluated"):
        analyse_existing(config, tmp_path / "out")
    shutil.rmtree(folder / "eval" / "base")
    with pytest.raises(UserError, match=r"the base has not been evaluated: .*families.json is not there"):
        analyse_existing(config, tmp_path / "out")


def test_the_command_says_what_it_has_analysed_and_where_it_cannot_write(partial, tmp_path, capsys):
    _, folder = partial
    (tmp_path / "part.yaml").write_text("name: part\nprecision: {modes: [fp32, bf16], seeds: 4}\n")
    command = ["analyse", "--configfile", "part.yaml", "--output-dir"]
    assert main([*command, "out"]) == 0
    assert capsys.readouterr().out == "analysed every run; see out\n"
    shutil.rmtree(folder / "eval" / "bf16" / "seed3")
    assert main([*command, "out"]) == 0
    assert capsys.readouterr().out.endswith("\nanalysed the other runs; see out\n")
    assert main([*command, "part.yaml"]) == 1
    assert capsys.readouterr().err == "error: argument --output-dir: part.yaml: File exists\n"


def test_expected_runs_are_those_of_the_config(partial):
    config, _ = partial
    external = {"name": "theirs", "path": "x", "arm": "them", "seed": 7, "revision": "r"}
    config["precision"] |= {"repeats": 2, "external_policies": [external]}
    folders = expected_runs(config)
    assert len(folders) == 2 * 4 * 2 + 1
    assert folders[RunLabel("bf16", 3, 2)] == "bf16/seed3/rep2"
    assert folders[RunLabel("them", 7, 1)] == "external/theirs"


def test_broken_numbers_of_every_kind_are_found(tmp_path):
    base = write_base(tmp_path)
    files = [write_run(tmp_path, ("fp32", seed, 1), ZEROS, ONES) for seed in (1, 2, 3, 4)]
    _break(files[0], "accuracy_halves", [0.5, float("inf")])
    _break(files[1], "pass_at", {"1": float("nan")})
    record = read_json(files[2])
    record["drift"][7]["kl"]["full"] = float("nan")
    files[2].write_text(json.dumps(record))
    known = MissingRun(RunLabel("fp32", 5, 1), "never trained")
    study = load_study([base], files, "add", "fp32", [known])
    assert [run.label.seed for run in study.runs] == [4]
    assert [lost.reason for lost in study.missing] == [
        "accuracy_halves on add is not a finite number",
        "pass_at[1] on add is not a finite number",
        "full of the KL on sub at step 120 is not a finite number",
        "never trained",
    ]
    assert missing_words(study, "fp32") == "fp32 has seeds 4 of 5; seeds 1, 2, 3, 5 are missing"
    _break(base, "accuracy", float("nan"))
    with pytest.raises(UserError, match="the base cannot be compared with: accuracy on add is not a finite"):
        load_study([base], files, "add", "fp32")


def test_metrics_of_a_sound_run_have_no_fault(tmp_path):
    path = write_metrics(tmp_path / "metrics.csv", ("fp32", 1, 1), np.random.default_rng(0), steps=70)
    assert pd.read_csv(path)["loss"].isna().sum() == 1
    assert metrics_fault(path) == ""
    assert metrics_fault(tmp_path / "absent.csv") == ""
