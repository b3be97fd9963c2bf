import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_study import CONFIG, TASKS, write_base, write_run, write_study

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.mechanism import read_geometry
from rlvr.analysis.study import analyse_precision_study
from rlvr.figures.captions import CAPTIONS, FIGURES
from rlvr.figures.curves import kl_snapshots, read_curves, smooth, training_curves
from rlvr.figures.draw import draw_outcome_figures, draw_training_figures
from rlvr.figures.mechanism import moved_weights, overlap_of_updates, sparsity_by_layer
from rlvr.figures.progress import progress_paths
from rlvr.figures.style import LINES, MARKERS, arm_looks, style
from rlvr.figures.tasks import delta_by_task, variance_ratio
from rlvr.files import read_json


def draw(study, folder, labels=None):
    labels = study.labels if labels is None else labels
    files = study.metrics_files[: len(labels)]
    draw_training_figures(files, labels, study.geometry_files, study.overlap_file, folder)
    draw_outcome_figures(study.analysis, CONFIG, folder)


def test_every_figure_in_every_format_and_the_same_bytes_again(analysed_study, tmp_path):
    for folder in ("one", "two"):
        draw(analysed_study, tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{name}.{suffix}" for name in FIGURES for suffix in ("svg", "pdf", "csv"))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_no_text_is_smaller_than_eight_points(analysed_study):
    runs, arms = pd.read_csv(analysed_study.analysis.runs), pd.read_csv(analysed_study.analysis.arms)
    with style():
        figure = delta_by_task(runs, arms, ["fp32", "bf16", "bf16_mixed"])
        figure.draw_without_rendering()
        texts = [
            text for text in figure.findobj(lambda part: hasattr(part, "get_fontsize")) if text.get_text()
        ]
    assert texts and min(text.get_fontsize() for text in texts) >= 8


def test_delta_by_task_shows_each_seed_mean_and_interval(analysed_study):
    runs, arms = pd.read_csv(analysed_study.analysis.runs), pd.read_csv(analysed_study.analysis.arms)
    axes = delta_by_task(runs, arms, ["fp32", "bf16", "bf16_mixed"]).axes[0]
    drawn = np.concatenate([points.get_offsets()[:, 1] for points in axes.collections])
    assert sorted(drawn) == pytest.approx(sorted(runs["delta_points"]))
    wide = arms[arms["interval"] == "seeds_and_base"]
    means = [line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 1]
    assert sorted(means) == pytest.approx(sorted(wide["mean"]))
    bars = [tuple(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2]
    assert all(
        any(bar == pytest.approx(pair) for bar in bars)
        for pair in zip(wide["low"], wide["high"], strict=True)
    )


def test_delta_by_task_where_the_base_has_no_sampling_error_on_some_tasks(tmp_path):
    base = write_base(tmp_path, without_error=("sub",))
    runs = [write_run(tmp_path, ("fp32", s, 1), (s * 1.0,) * len(TASKS), (1.0,) * len(TASKS)) for s in (1, 2)]
    files = AnalysisFiles.in_folder(tmp_path)
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    axes = delta_by_task(pd.read_csv(files.runs), pd.read_csv(files.arms), ["fp32"]).axes[0]
    bars = [np.ptp(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2]
    bars = [length for length in bars if length > 1]
    assert len(bars) == len(TASKS)
    # The bar of sub is Student's t over the two seeds; the others have the base's error too.
    assert bars[1] == pytest.approx(2 * 0.5 * 12.7062, rel=1e-4)


def test_names_of_figures_and_analysis_files_need_no_heavy_import():
    names = "from rlvr.figures.captions import FIGURES; from rlvr.analysis.files import AnalysisFiles"
    heavy = "import sys; assert not {'matplotlib', 'pandas', 'scipy', 'torch'} & set(sys.modules), 1"
    subprocess.run([sys.executable, "-c", f"{names}\n{heavy}"], check=True)


def test_every_figure_has_a_caption_for_the_workflow_report():
    assert {path.stem for path in (Path(__file__).parents[1] / "report").glob("*.rst")} >= set(FIGURES)
    assert "not the snapshots" in CAPTIONS["kl_drift"][1]


def test_variance_ratio_keeps_the_looks_of_the_arms(analysed_study):
    claims = read_json(analysed_study.analysis.hypotheses)
    order = ["fp32", "bf16", "bf16_mixed"]
    axes = variance_ratio(claims, order, 2.0).axes[0]
    marks = {line.get_marker() for line in axes.lines} & set(MARKERS)
    assert marks == {arm_looks(order)[arm]["marker"] for arm in order[1:]}
    assert [label.get_text() for label in axes.get_yticklabels()] == [*TASKS[1:], "pooled"]
    assert axes.get_xscale() == "log"


def test_arms_differ_without_colour():
    looks = arm_looks([f"arm{i}" for i in range(8)]).values()
    assert len({look["marker"] for look in looks}) == len({str(look["linestyle"]) for look in looks}) == 8
    more = arm_looks([f"arm{i}" for i in range(20)]).values()
    assert len({(look["color"], look["marker"]) for look in more}) == 20
    assert len(LINES) == len(MARKERS)


def test_curves_pass_over_steps_without_a_value_and_later_repeats(analysed_study):
    files, labels = analysed_study.metrics_files[:2], [("fp32", 1, 1), ("fp32", 1, 2)]
    curves = read_curves(files, labels)
    assert len(curves) == 120 and curves["seed"].unique().tolist() == [1]
    assert np.isnan(curves.loc[curves["step"] == 60, "entropy"]).all()
    assert smooth(curves["entropy"]).notna().all()
    panels = training_curves(curves, ["fp32"]).axes
    assert all(np.isfinite(axes.lines[0].get_ydata()).all() for axes in panels)


def test_labels_must_match_the_files(analysed_study, tmp_path):
    with pytest.raises(ValueError, match="zip"):
        draw_training_figures(
            analysed_study.metrics_files, [("fp32", 1, 1)], analysed_study.geometry_files,
            analysed_study.overlap_file, tmp_path,
        )  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_one_arm_and_no_trained_run(tmp_path, seeds):
    study = write_study(tmp_path, arms=("fp32",), seeds=seeds)
    analyse_precision_study(CONFIG, "add", study.base_files, study.run_files, study.analysis)
    draw(study, tmp_path / "figures", labels=[])
    assert len(list((tmp_path / "figures").iterdir())) == 3 * len(FIGURES)


def test_policies_that_solve_nothing_and_never_move(tmp_path):
    zeros = (0.0,) * len(TASKS)
    base = write_base(tmp_path, accuracies=zeros)
    runs = [
        write_run(tmp_path, (arm, s, 1), zeros, zeros, base=zeros) for arm in ("fp32", "bf16") for s in (1, 2)
    ]
    study = replace(write_study(tmp_path / "other", seeds=1), folder=tmp_path)
    analyse_precision_study(CONFIG, "add", [base], runs, study.analysis)
    draw(study, tmp_path / "figures")
    assert re.search(r"<svg", (tmp_path / "figures" / "kl_by_task.svg").read_text())


def test_snapshots_are_drawn_per_seed_with_their_mean(analysed_study):
    drift = pd.read_csv(analysed_study.analysis.drift)
    with style():
        on_task, off_task = kl_snapshots(drift, ["fp32", "bf16", "bf16_mixed"]).axes
    own = drift[(drift["arm"] == "fp32") & drift["on_task"] & (drift["rep"] == 1)]
    mean, seeds = on_task.lines[0], on_task.lines[1]
    assert list(mean.get_xdata()) == [0, 60, 120]
    assert list(mean.get_ydata()) == pytest.approx([0, *own.groupby("step")["kl_full"].mean()])
    assert sorted(seeds.get_ydata()) == pytest.approx(sorted(own["kl_full"]))
    assert len(off_task.lines) == 6


def test_without_snapshots_the_figure_says_so():
    with style():
        figure = kl_snapshots(
            pd.DataFrame(columns=["arm", "rep", "on_task", "step", "seed", "kl_full"]), ["fp32"]
        )
    assert "no snapshots" in figure.axes[0].texts[0].get_text()


def test_movable_and_moved_weigh_tensors_by_their_size(analysed_study):
    geometry = read_geometry(analysed_study.geometry_files)
    assert set(geometry["step"]) == {120}
    with style():
        axes = moved_weights(geometry, ["fp32", "bf16", "bf16_mixed"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["q", "up", "norm"]
    own = geometry[(geometry["arm"] == "fp32") & (geometry["kind"] == "q")]
    by_seed = own.groupby("seed").apply(lambda rows: np.average(rows["moved"], weights=rows["weights"]))
    movable, seeds, mean = axes.lines[:3]
    assert movable.get_ydata()[0] == pytest.approx(0.28)
    assert sorted(seeds.get_ydata()) == pytest.approx(sorted(by_seed))
    assert mean.get_ydata()[0] == pytest.approx(by_seed.mean())


def test_the_lowest_panel_of_each_column_names_the_kinds(analysed_study):
    geometry = read_geometry(analysed_study.geometry_files)
    more = [geometry[geometry["arm"] == "fp32"].assign(arm=f"arm{i}") for i in range(2)]
    arms = ["fp32", "bf16", "bf16_mixed", "arm0", "arm1"]
    with style():
        figure = sparsity_by_layer(pd.concat([geometry, *more]), arms)
        figure.draw_without_rendering()
        named = [any(label.get_visible() for label in axes.get_xticklabels()) for axes in figure.axes[:5]]
    assert named == [False, False, True, True, True]


def test_overlap_shows_pairs_of_seeds_and_of_arms_with_their_nulls(analysed_study):
    overlap = pd.read_csv(analysed_study.overlap_file)
    with style():
        axes = overlap_of_updates(overlap, ["fp32", "bf16", "bf16_mixed"]).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [
        "fp32: two seeds", "bf16: two seeds", "bf16_mixed: two seeds", "bf16 and fp32, same seed",
        "bf16_mixed and fp32, same seed",
    ]  # fmt: skip
    nulls, pairs = axes.lines[:3], axes.lines[3]
    assert [line.get_xdata()[0] for line in nulls] == pytest.approx([0.43, 0.5, 0.52])
    own = overlap[(overlap["mode_a"] == "fp32") & (overlap["mode_b"] == "fp32")]
    assert sorted(pairs.get_xdata()) == pytest.approx(sorted(own["jaccard"]))


def test_checkpoints_start_from_the_base(analysed_study):
    drift = pd.read_csv(analysed_study.analysis.drift)
    with style():
        gain, off_task = progress_paths(drift, ["fp32", "bf16", "bf16_mixed"]).axes
    own = drift[(drift["arm"] == "fp32") & (drift["rep"] == 1)]
    on = own[own["on_task"]].groupby("step")[["kl_full", "delta_points"]].mean()
    assert list(gain.lines[0].get_xdata()) == pytest.approx([0, *on["kl_full"]])
    assert list(gain.lines[0].get_ydata()) == pytest.approx([0, *on["delta_points"]])
    off = own[~own["on_task"]].groupby("step")["kl_full"].mean()
    assert list(off_task.lines[0].get_ydata()) == pytest.approx([0, *off])
