import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_study import CONFIG, TASKS, write_base, write_run

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.study import analyse_precision_study
from rlvr.figures.mechanism import spectral_shift
from rlvr.figures.style import style
from rlvr.files import read_json
from rlvr.report.mechanism import geometry_table, overlap_table
from rlvr.report.modes import modes_table
from rlvr.report.tables import (
    claims_table,
    gains_table,
    pass_table,
    strata_table,
    weights_table,
)


def test_strata_apart(analysed_study):
    runs = pd.read_csv(analysed_study.analysis.runs)
    table = strata_table(runs)
    assert table.head == ("task", "stratum", "base, %", "fp32", "bf16", "bf16_mixed")
    assert [row[:3] for row in table.rows] == [("add", "carry", "51.6"), ("add", "no_carry", "71.8")]
    own = runs[(runs["arm"] == "fp32") & (runs["task"] == "add")]
    assert table.rows[0][3] == f"{100 * (own['accuracy'] ** 2 - own['base_accuracy'] ** 2).mean():+.1f}"
    assert table.rows[1][3] == "+14.5"
    assert strata_table(runs[runs["task"] != "add"]).rows == ()


def test_gain_without_the_error_of_the_base_is_marked_where_it_is_missing(tmp_path):
    base = write_base(tmp_path, without_error=("sub",))
    runs = [write_run(tmp_path, ("fp32", s, 1), (s * 1.0,) * len(TASKS), (1.0,) * len(TASKS)) for s in (1, 2)]
    files = AnalysisFiles.in_folder(tmp_path)
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    table = gains_table(pd.read_csv(files.arms), pd.read_csv(files.runs), 0.95)
    cells = {row[0]: row[2] for row in table.rows}
    assert cells["sub"] == "+1.5 (0.7) [−4.9, +7.9]*"
    assert not cells["max"].endswith("*") and "* over seeds only" in table.caption


def test_modes_side_by_side_in_the_units_of_their_heads():
    row = {
        "arm": "bf16", "on_task_delta_points": 5.61, "on_task_delta_sd": 0.2, "off_task_delta_points": -0.5,
        "off_task_delta_sd": 0.456, "on_task_kl": 0.0991, "off_task_kl": 0.0352, "sparsity": 0.741,
        "movable": 0.28, "training_accuracy": 0.8, "lost_update": 0.92, "second_moments_stuck": 1.0,
        "logprob_mismatch_mean": 3.21e-4, "updates_skipped": 0.0, "seconds": 12.4,
    }  # fmt: skip
    table = modes_table(pd.DataFrame([row, {"arm": "elsewhere", "sparsity": 0.5}]))
    assert table.rows[0] == (
        "bf16", "+5.6", "0.20", "−0.5", "0.46", "0.099", "0.035", "74.1", "28.0", "80.0", "92.0", "100.0",
        "0.00032", "0", "12",
    )  # fmt: skip
    assert table.rows[1][7] == "50.0" and set(table.rows[1][8:]) == {"–"}
    assert len(table.head) == len(table.rows[0])


def test_tables_over_seeds_pass_over_further_repeats(analysed_study):
    files = analysed_study.analysis
    for path, table in ((files.weights, weights_table), (files.runs, pass_table)):
        once = pd.read_csv(path)
        twice = pd.concat([once, once.assign(rep=2, sparsity=0.0, pass_at_1=0.0)])
        assert table(twice).rows == table(once).rows


def test_spectral_measures_are_those_of_the_figure(tmp_path):
    ratios = {1: (0.5, 2.0), 2: (0.25, 4.0)}  # of two matrices, by seed: geometric means 1 and 1
    rows = [
        {"arm": "fp32", "seed": seed, "rep": 1, "step": 9, "kind": "q", "weights": size, "sparsity": kept,
         "moved": 1 - kept, "movable": 0.3, "relative_change": 0.02, "nss_ratio": ratio,
         "angle_left_mean_ratio": 3 * ratio}
        for seed, pair in ratios.items()
        for ratio, size, kept in zip(pair, (100, 300), (1.0, 0.6), strict=True)
    ]  # fmt: skip
    vector = {**rows[0], "kind": "norm", "nss_ratio": np.nan, "angle_left_mean_ratio": np.nan}
    table = pd.DataFrame([*rows, vector])
    table.to_csv(tmp_path / "fp32.csv", index=False)
    assert geometry_table([tmp_path / "fp32.csv"]).rows == (
        ("fp32", "q", "70.0", "30.0", "0.02", "1.00", "3.00"),
        ("fp32", "norm", "100.0", "30.0", "0.02", "–", "–"),
    )
    with style():
        left, right = spectral_shift(table, ["fp32"]).axes
    assert left.lines[1].get_ydata() == pytest.approx([1.0])
    assert right.lines[1].get_ydata() == pytest.approx([3.0])


def test_overlap_is_of_first_repeats_and_of_repeats_apart(analysed_study, tmp_path):
    overlap = pd.read_csv(analysed_study.overlap_file)
    own = overlap["pair"] == "seeds"
    later = overlap[own].assign(rep_a=1, rep_b=2, jaccard=0.0)
    repeats = overlap[own][:2].assign(pair="repeats", rep_a=1, rep_b=2, jaccard=[0.9, 1.0])
    pd.concat([overlap, later, repeats]).to_csv(tmp_path / "overlap.csv", index=False)
    table = overlap_table(tmp_path / "overlap.csv")
    assert table.rows[:-1] == overlap_table(analysed_study.overlap_file).rows
    assert table.rows[-1][:3] == ("repeats of one seed", "fp32", "2") and table.rows[-1][5] == "0.95"
    assert "by magnitude where the base is stored in bf16" in table.caption
    assert "by rounding cell where it is stored in a finer format" in table.caption


def test_detectable_ratio_of_a_pooled_test_is_said_to_be_of_one_task(analysed_study):
    claims = read_json(analysed_study.analysis.hypotheses)
    rows = claims_table(claims).rows
    pooled = [row[10:12] for row in rows if row[0] == "H2" and row[4] == "pooled"]
    detectable = next(claim["detectable"] for claim in claims if claim["id"] == "H2")
    assert pooled == [("0.12", f"ratio {detectable:.0f} on a single task")] * 4
    (equivalence, *_) = [claim for claim in claims if (claim["id"], claim["arm"]) == ("H1", "bf16")]
    (told, *_) = [row[10:12] for row in rows if row[:2] == ("H1", "bf16")]
    assert told == (f"{equivalence['power']:.2f}", f"margin {equivalence['detectable']:.1f} points")


def test_ratios_too_large_to_tell_are_told_by_a_bound(analysed_study):
    claims = [c for c in read_json(analysed_study.analysis.hypotheses) if c["id"] == "H2"]
    claim = claims[0] | {"effect": 2.5e7, "low": 3.0, "high": None}
    (row,) = claims_table([claim]).rows
    assert row[5] == "more than 10,000"
    (row,) = claims_table([claim | {"effect": None}]).rows
    assert row[5] == "–"


def test_every_column_of_the_analysis_is_explained(analysed_study):
    page = (Path(__file__).parents[2] / "docs" / "science.md").read_text()
    section = page.split("## Tables of the analysis")[1].split("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section))
    for path in sorted((analysed_study.folder / "analysis").glob("*.csv")):
        assert f"`{path.name}`" in section
        names = {re.sub(r"(?<=pass_at_)\d+", "K", name) for name in pd.read_csv(path)}
        names = {re.sub(r"(?<=accuracy_)(no_)?carry", "X", name) for name in names}
        assert names - explained == set(), path.name
