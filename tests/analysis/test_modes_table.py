"""The modes side by side, from evaluations and the metrics of training; and runs whose metrics are broken."""

import numpy as np
import pandas as pd
import pytest
from synthetic_study import CONFIG, write_study

from rlvr.analysis.study import analyse_precision_study
from rlvr.files import read_json


def test_modes_side_by_side(tmp_path):
    study = write_study(tmp_path, arms=("fp32", "bf16"), seeds=3)
    table = pd.read_csv(study.metrics_files[4])
    table.loc[119, ["lost_update", "updates_skipped"]] = [0.25, 1]
    table.to_csv(study.metrics_files[4], index=False)
    analyse_precision_study(
        CONFIG, "add", study.base_files, study.run_files, study.analysis, study.metrics_files, study.labels,
        study.provenance_files,
    )  # fmt: skip
    modes = pd.read_csv(study.analysis.modes).set_index("arm")
    runs = pd.read_csv(study.analysis.runs)
    off = runs[(runs["arm"] == "bf16") & ~runs["on_task"]].groupby("task")["delta_points"]
    bf16 = modes.loc["bf16"]
    assert (bf16["on_task_delta_points"], bf16["on_task_delta_sd"]) == pytest.approx((5.6, 0.2))
    assert bf16["off_task_delta_points"] == pytest.approx(off.mean().mean())
    assert bf16["off_task_delta_sd"] == pytest.approx(off.std().mean())
    assert (bf16["on_task_kl"], bf16["off_task_kl"]) == pytest.approx((0.099, 0.0352))
    assert (bf16["sparsity"], bf16["movable"]) == pytest.approx((0.743, 0.28))
    # The last value, a sum and a mean of one run in three.
    assert bf16["lost_update"] == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    assert bf16["updates_skipped"] == pytest.approx(1 / 3) and bf16["seconds"] == pytest.approx(60)
    ends = [pd.read_csv(file)["accuracy"].tail(12).mean() for file in study.metrics_files[3:]]
    assert bf16["training_accuracy"] == pytest.approx(np.mean(ends))


def test_runs_with_broken_metrics_are_left_out_and_named(tmp_path):
    study = write_study(tmp_path, arms=("fp32", "bf16"), seeds=3)
    table = pd.read_csv(study.metrics_files[4])
    table.loc[7, "lost_update"] = None
    table.to_csv(study.metrics_files[4], index=False)
    analyse_precision_study(
        CONFIG, "add", study.base_files, study.run_files, study.analysis, study.metrics_files, study.labels,
        study.provenance_files,
    )  # fmt: skip
    missing = pd.read_csv(study.analysis.missing)
    assert missing[["arm", "seed", "rep"]].values.tolist() == [["bf16", 2, 1]]
    assert missing["reason"].item().startswith("lost_update of step 8 in ")
    assert set(pd.read_csv(study.analysis.runs).query("arm == 'bf16'")["seed"]) == {1, 3}
    assert "seed 2 is missing" in read_json(study.analysis.hypotheses)[0]["sentence"]
