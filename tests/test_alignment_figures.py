import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_arms import ZERO_SHOT, alignment_section, analyse, write_synthetic_study

from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.arms import METHODS, Experiment
from rlvr.figures.alignment import draw_alignment_figures, drawings
from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS
from rlvr.figures.alignment_curves import StudyTables, by_seed, read_metrics
from rlvr.figures.alignment_labels import arm_labels
from rlvr.figures.style import style

DIVERGED = "learning_rate=0.003"


@dataclass(frozen=True)
class Study:
    """A made-up study on disk, analysed."""

    folder: Path
    experiments: list[Experiment]
    files: AlignmentAnalysisFiles

    @property
    def labels(self):
        return list(dict.fromkeys((one.method, arm) for one in self.experiments for arm in one.arms))

    @property
    def settings(self):
        section = alignment_section()
        return {method: section[method]["settings"] for method in METHODS}

    @property
    def metrics_files(self):
        return [self.folder / method / arm / "metrics.csv" for method, arm in self.labels]

    @property
    def categories_files(self):
        return [self.folder / "zero_shot" / prompt / "categories.csv" for prompt in ZERO_SHOT]

    def tables(self):
        return StudyTables(
            curves=pd.read_csv(self.files.curves),
            metrics=read_metrics(self.labels, self.metrics_files),
            arms=pd.read_csv(self.files.arms),
            leaderboard=pd.read_csv(self.files.leaderboard),
            categories=dict(zip(ZERO_SHOT, map(pd.read_csv, self.categories_files), strict=True)),
            experiments=self.experiments,
            settings=self.settings,
        )

    def draw(self, folder, metrics_files=None):
        draw_alignment_figures(
            self.files, self.experiments, self.settings, self.labels, metrics_files or self.metrics_files,
            list(ZERO_SHOT), self.categories_files, folder,
        )  # fmt: skip


def make_study(folder, seeds=3):
    experiments = write_synthetic_study(folder, seeds)
    return Study(folder, experiments, analyse(folder, experiments, seeds))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("alignment"))


def figure_of(tables, name):
    with style():
        figure = drawings(tables)[name].draw()
        figure.draw_without_rendering()
    return figure


def words(figure):
    return {text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_fontsize"))}


def line_at(axes, values):
    """Whether a line of a panel has these values."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    return any(len(one) == len(values) and one == pytest.approx(np.asarray(values)) for one in drawn)


def test_every_alignment_figure_in_every_format_and_the_same_bytes_again(study, tmp_path):
    for folder in ("one", "two"):
        study.draw(tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(
        f"{name}.{suffix}" for name in ALIGNMENT_CAPTIONS for suffix in ("svg", "pdf", "csv")
    )
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_names_of_alignment_figures_need_no_heavy_import():
    names = "from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS"
    heavy = "import sys; assert not {'matplotlib', 'pandas', 'scipy', 'torch'} & set(sys.modules), 1"
    subprocess.run([sys.executable, "-c", f"{names}\n{heavy}"], check=True)


@pytest.mark.parametrize("name", ALIGNMENT_CAPTIONS)
def test_every_panel_shows_something_in_text_of_eight_points(study, name):
    figure = figure_of(study.tables(), name)
    assert all(axes.axison and (axes.lines or axes.patches) for axes in figure.axes)
    texts = figure.findobj(lambda part: hasattr(part, "get_fontsize"))
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= 8


def test_a_curve_is_the_mean_over_seeds_and_its_band_reaches_the_outermost(study):
    tables = study.tables()
    axes = figure_of(tables, "grpo_loop").axes[0]
    own = tables.curves[(tables.curves["method"] == "grpo") & (tables.curves["arm"] == "default")]
    by_step = own.groupby("step")["accuracy"]
    assert line_at(axes, by_step.mean())
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert set(np.round(band, 9)) == set(np.round([*by_step.min(), *by_step.max()], 9))


def test_accuracy_by_time_lies_at_the_mean_seconds_of_each_step(study):
    tables = study.tables()
    curves = tables.curves
    arm = tables.experiment("grpo", "off_policy_focused").arms[-1]
    slow = (curves["method"] == "grpo") & (curves["arm"] == arm) & (curves["seed"] == 1)
    curves.loc[slow, "seconds"] *= 4
    seconds = curves[(curves["method"] == "grpo") & (curves["arm"] == arm)].groupby("step")["seconds"].mean()
    axes = figure_of(tables, "off_policy_focused").axes[1]
    assert any(
        len(line.get_xdata()) == len(seconds) and line.get_xdata() == pytest.approx(seconds.to_numpy())
        for line in axes.lines
    )


def test_a_seed_that_diverged_is_marked_where_it_ended(study):
    tables = study.tables()
    curves = tables.curves
    ended = curves[(curves["arm"] == DIVERGED) & curves["diverged"]]
    assert len(ended) == 3
    axes = figure_of(tables, "learning_rate").axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "x"]
    places = {place for line in marks for place in zip(*line.get_data(), strict=True)}
    assert places == set(zip(ended["step"], ended["accuracy"], strict=True))
    other = figure_of(tables, "std_normalization").axes[0]
    assert not [line for line in other.lines if line.get_marker() == "x" and len(line.get_xdata())]


def test_entropy_of_the_default_of_expert_iteration_is_beside_that_of_the_off_policy_arms(study):
    tables = study.tables()
    axes = figure_of(tables, "off_policy_focused").axes
    (beside,) = [one for one in axes if one.get_title() == "expert iteration"]
    assert line_at(beside, by_seed(tables.curves, "expert_iteration", "default", "entropy_mean").mean(axis=1))
    own = axes[axes.index(beside) - 1]
    assert own.get_ylabel() == beside.get_ylabel() and own.get_ylim() == beside.get_ylim()


def test_dashed_line_of_expert_iteration_is_the_best_sft_arm_that_did_not_diverge(study):
    tables = study.tables()
    sft = tables.arms["method"] == "sft"
    ranked = tables.arms[sft].sort_values("accuracy_mean", ascending=False)
    for best, diverged in ((0, []), (1, [ranked.index[0]])):
        tables.arms.loc[diverged, "diverged"] = 1
        accuracy = ranked["accuracy_mean"].iloc[best]
        assert line_at(figure_of(tables, "expert_iteration").axes[0], [accuracy, accuracy])


def test_sweep_shows_interval_mean_and_seeds_of_the_final_accuracy(study):
    tables = study.tables()
    figure = figure_of(tables, "sft_sweep")
    lines = figure.axes[0].lines
    for arm in tables.experiment("sft", "sweep").arms:
        row = tables.arms[(tables.arms["method"] == "sft") & (tables.arms["arm"] == arm)].iloc[0]
        limits = [row["accuracy_low"], row["accuracy_high"]]
        finals = tables.curves.query("method == 'sft' and arm == @arm and final")["accuracy"]
        drawn = [list(line.get_xdata()) for line in lines]
        for values in (limits, [row["accuracy_mean"]], list(finals)):
            assert any(len(one) == len(values) and one == pytest.approx(values) for one in drawn)


def test_bars_of_zero_shot_add_up_to_all_responses(study):
    bars = figure_of(study.tables(), "zero_shot_categories").axes[0].patches
    shares = [[bar.get_width() for bar in bars[place : place + 3]] for place in (0, 3)]
    for (accuracy, in_format), own in zip(ZERO_SHOT.values(), shares, strict=True):
        assert own == pytest.approx([accuracy, in_format - accuracy, 1 - in_format])
        assert sum(own) == pytest.approx(1)


def test_ranking_has_all_arms_and_the_base_in_the_order_of_the_leaderboard(study):
    tables = study.tables()
    axes = figure_of(tables, "ranking").axes[0]
    assert len(axes.get_yticklabels()) == len(study.labels) + len(ZERO_SHOT)
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    by_place = [line.get_xdata()[0] for line in sorted(dots, key=lambda line: line.get_ydata()[0])]
    assert by_place == pytest.approx(list(tables.leaderboard["accuracy_mean"]))
    assert by_place == sorted(by_place, reverse=True)


def test_a_gradient_that_is_no_finite_number_is_left_out_of_its_curve(study, tmp_path):
    broken = pd.read_csv(study.folder / "grpo" / DIVERGED / "metrics.csv")
    broken.loc[broken["step"] == broken["step"].max(), "grad_norm"] = np.inf
    broken.to_csv(tmp_path / "metrics.csv", index=False)
    read = read_metrics([("grpo", DIVERGED)], [tmp_path / "metrics.csv"])
    assert by_seed(read, "grpo", DIVERGED, "grad_norm").index.max() == broken["step"].max() - 1


def test_labels_name_what_sets_the_arms_of_an_experiment_apart(study):
    tables = study.tables()

    def labels(method, name):
        return list(arm_labels(tables.experiment(method, name).arms, tables.settings[method]).values())

    assert labels("grpo", "std_normalization") == ["with std", "without std"]
    assert labels("grpo", "clip") == ["grpo_clip", "grpo_no_clip"]
    assert labels("sft", "sizes")[:2] == ["examples all", "examples 128"]
    for one in study.experiments:
        own = labels(one.method, one.name)
        assert len(set(own)) == len(own) == len(one.arms)
    assert not any("steps" in label for label in labels("grpo", "off_policy_broad"))


def test_an_experiment_that_is_missing_or_was_never_trained_is_said_to_be(study):
    tables = study.tables()
    none = replace(tables, experiments=[one for one in study.experiments if one.name != "clip"])
    assert "the config has no experiment grpo.clip" in words(figure_of(none, "clip"))
    untrained = replace(tables, curves=tables.curves[tables.curves["method"] != "grpo"])
    assert "no run was trained here" in words(figure_of(untrained, "clip"))


def test_one_seed_has_figures_without_intervals(tmp_path):
    study = make_study(tmp_path, seeds=1)
    study.draw(tmp_path / "figures")
    assert len(list((tmp_path / "figures").iterdir())) == 3 * len(ALIGNMENT_CAPTIONS)
    lines = figure_of(study.tables(), "sft_sweep").axes[0].lines
    assert not [line for line in lines if len(line.get_xdata()) == 2 and np.isfinite(line.get_xdata()).all()]


def test_metrics_must_match_the_arms(study, tmp_path):
    with pytest.raises(ValueError, match="zip"):
        study.draw(tmp_path, study.metrics_files[:-1])


@pytest.mark.parametrize("name", ["sft_sweep", "expert_iteration", "learning_rate", "off_policy_broad"])
def test_the_legend_lies_within_the_figure(study, name):
    figure = figure_of(study.tables(), name)
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_an_axis_is_logarithmic_only_where_it_spans_decades(study):
    tables = study.tables()
    scales = {
        name: figure_of(tables, name).axes[2].get_yscale() for name in ("learning_rate", "std_normalization")
    }
    assert scales == {"learning_rate": "log", "std_normalization": "linear"}


def test_legend_explains_diverged_seeds_and_the_best_sft_arm(study):
    tables = study.tables()
    assert "seed diverged" in words(figure_of(tables, "learning_rate"))
    assert "seed diverged" not in words(figure_of(tables, "clip"))
    assert "best SFT arm" in words(figure_of(tables, "expert_iteration"))
