"""The figures of the alignment study."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rlvr.alignment.analysis.comparisons import best_arm
from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.arms import DEFAULT, METHODS, Experiment
from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS
from rlvr.figures.alignment_curves import (
    ACCURACY,
    ACCURACY_BY_TIME,
    CLIPPED,
    ENTROPY,
    FORMAT,
    GRAD_NORM,
    GRAD_NORM_LOG,
    LENGTH,
    RATIO_LOG,
    Panel,
    StudyTables,
    draw_arm,
    draw_panel,
    experiment_figure,
    experiment_looks,
    legend_of,
    nothing_figure,
    panel_grid,
    read_metrics,
    trained,
)
from rlvr.figures.alignment_data import (
    categories_data,
    experiment_data,
    expert_iteration_data,
    off_policy_data,
    sft_sweep_data,
)
from rlvr.figures.alignment_labels import arm_labels
from rlvr.figures.style import Drawing, arm_looks, new_figure, save_all
from rlvr.table_rows import table_rows

# Experiments of which validations and training steps are drawn side by side: method, panels, columns.
PANELS: dict[str, tuple[str, str, Sequence[Panel], int]] = {
    "sft_sizes": ("sft", "sizes", (ACCURACY, FORMAT), 2),
    "sft_filtered": ("sft", "filtered", (ACCURACY, FORMAT), 2),
    "learning_rate": ("grpo", "learning_rate", (ACCURACY, ENTROPY, GRAD_NORM_LOG), 3),
    "baselines": ("grpo", "baselines", (ACCURACY, ENTROPY, GRAD_NORM), 3),
    "length_normalization": ("grpo", "length_normalization", (ACCURACY, LENGTH, GRAD_NORM_LOG), 3),
    "std_normalization": ("grpo", "std_normalization", (ACCURACY, ENTROPY, GRAD_NORM_LOG), 3),
    "clip": ("grpo", "clip", (ACCURACY, RATIO_LOG, GRAD_NORM_LOG, CLIPPED), 2),
    "prompt": ("grpo", "prompt", (ACCURACY, FORMAT, LENGTH), 3),
}  # fmt: skip
CATEGORY_WORDS = {
    (1.0, 1.0): "right", (1.0, 0.0): "in the format, wrong", (0.0, 0.0): "not in the format",
}  # fmt: skip
LENGTHS = {
    "length_mean": "all", "length_mean_correct": "right", "length_mean_wrong": "wrong",
}  # fmt: skip
LENGTH_PANELS = tuple(Panel(column, "") for column in LENGTHS)
LEAST_WRITTEN = 0.04  # shares below have no room for their number


def draw_alignment_figures(
    analysis: AlignmentAnalysisFiles,
    experiments: Sequence[Experiment],
    settings: Mapping[str, Mapping[str, Any]],
    arms: Sequence[Sequence[str]],
    metrics_files: Sequence[str | Path],
    prompts: Sequence[str],
    categories_files: Sequence[str | Path],
    out_folder: str | Path,
) -> None:
    """Write `{figure}.svg`, `.pdf` and `.csv` for every name in `ALIGNMENT_CAPTIONS`.

    `settings`: the default settings of each method. `arms` are (method, arm) of `metrics_files`, `prompts`
    those of `categories_files`, each in the same order; ValueError if their numbers differ.
    """
    tables = StudyTables(
        curves=pd.read_csv(analysis.curves),
        metrics=read_metrics(arms, metrics_files),
        arms=pd.read_csv(analysis.arms),
        leaderboard=pd.read_csv(analysis.leaderboard),
        categories=dict(zip(prompts, map(pd.read_csv, categories_files), strict=True)),
        experiments=experiments,
        settings=settings,
    )
    save_all(drawings(tables), out_folder)


def drawings(tables: StudyTables) -> dict[str, Drawing]:
    """What draws each figure of ALIGNMENT_CAPTIONS, and its numbers."""
    special = {
        "zero_shot_categories": Drawing(
            lambda: zero_shot_categories(tables.categories), categories_data(tables.categories)
        ),
        "sft_sweep": Drawing(lambda: sft_sweep(tables), sft_sweep_data(tables)),
        "expert_iteration": Drawing(lambda: expert_iteration(tables), expert_iteration_data(tables)),
        "grpo_loop": Drawing(
            lambda: grpo_loop(tables),
            experiment_data(tables, "grpo", "loop", (ACCURACY, FORMAT, ENTROPY, *LENGTH_PANELS)),
        ),
        "off_policy_broad": Drawing(
            lambda: off_policy(tables, "off_policy_broad"), off_policy_data(tables, "off_policy_broad")
        ),
        "off_policy_focused": Drawing(
            lambda: off_policy(tables, "off_policy_focused"), off_policy_data(tables, "off_policy_focused")
        ),
        "ranking": Drawing(lambda: ranking(tables), tables.leaderboard),
    }
    of_panels = {
        name: Drawing(partial(experiment_figure, tables, *own), experiment_data(tables, *own[:3]))
        for name, own in PANELS.items()
    }
    every = special | of_panels
    return {name: every[name] for name in ALIGNMENT_CAPTIONS}


def zero_shot_categories(categories: Mapping[str, pd.DataFrame]) -> Figure:
    """One bar a prompt, of the shares of right, well-formed and other responses."""
    figure = new_figure(0.9 + 0.5 * len(categories))
    axes = figure.subplots()
    looks = arm_looks(list(CATEGORY_WORDS.values()))
    for place, table in enumerate(categories.values()):
        shares = table.set_index(["format_reward", "answer_reward"])["share"]
        left = 0.0
        for category, words in CATEGORY_WORDS.items():
            share = float(shares[category])
            label = words if place == 0 else None
            axes.barh(
                place, share, left=left, height=0.6, color=looks[words]["color"], alpha=0.75, label=label
            )
            if share >= LEAST_WRITTEN:
                axes.text(left + share / 2, place, f"{100 * share:.1f} %", ha="center", va="center")
            left += share
    axes.set_yticks(range(len(categories)), list(categories))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("share of responses")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(CATEGORY_WORDS), frameon=False)
    return figure


def sft_sweep(tables: StudyTables) -> Figure:
    """Final accuracy of every arm with its interval, and the validations on the way."""
    experiment = tables.experiment("sft", "sweep")
    if experiment is None:
        return nothing_figure("the config has no experiment sft.sweep")
    arms = trained(tables, "sft", experiment.arms)
    if not arms:
        return nothing_figure("no run was trained here")
    every = experiment_looks(experiment.arms, tables.settings["sft"])
    looks, labels = {arm: every[arm] for arm in arms}, arm_labels(experiment.arms, tables.settings["sft"])
    figure, (left, right) = panel_grid(2, 2, len(arms))
    _final_accuracy(left, tables, "sft", looks, labels)
    draw_panel(right, tables, "sft", looks, ACCURACY)
    legend_of(figure, tables, "sft", looks, labels)
    return figure


def _final_accuracy(
    axes: Axes,
    tables: StudyTables,
    method: str,
    looks: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
) -> None:
    """Mean, interval and seeds of each arm, one below the other."""
    for place, (arm, look) in enumerate(looks.items()):
        row = tables.arms[(tables.arms["method"] == method) & (tables.arms["arm"] == arm)].iloc[0]
        curves = tables.curves
        own = curves[(curves["method"] == method) & (curves["arm"] == arm) & curves["final"]]
        axes.plot(own["accuracy"], [place] * len(own), "o", color=look["color"], mfc="none", ms=4)
        _interval(axes, place, row["accuracy_mean"], row["accuracy_low"], row["accuracy_high"], look)
    axes.set_yticks(range(len(looks)), [labels[arm] for arm in looks])
    axes.set_ylim(len(looks) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("final accuracy")
    axes.grid(axis="y", visible=False)


def _interval(axes: Axes, place: int, mean: float, low: float, high: float, look: Mapping[str, Any]) -> None:
    """A mark at the mean and a bar from low to high; no bar where these are unknown."""
    axes.plot([low, high], [place, place], color=look["color"], linewidth=1.6)
    edge = {"mew": 2} if look["marker"] == "x" else {"mec": "white", "mew": 0.7}
    axes.plot([mean], [place], look["marker"], color=look["color"], ms=6, **edge)


def expert_iteration(tables: StudyTables) -> Figure:
    """Accuracy, entropy and length by round of all arms; dashed, the best of SFT."""
    every = tables.every_arm("expert_iteration")
    arms = trained(tables, "expert_iteration", every)
    if not arms:
        return nothing_figure("no run was trained here")
    colours = arm_looks(every)
    looks = {arm: colours[arm] for arm in arms}
    panels = (ACCURACY, ENTROPY, LENGTH)
    figure, axes = panel_grid(len(panels), 3, len(arms))
    for one, panel in zip(axes, panels, strict=True):
        draw_panel(one, tables, "expert_iteration", looks, panel)
    line: dict[str, Any] = {"color": "0.25", "linestyle": "--", "linewidth": 1.2}
    others: list[Line2D] = []
    best = best_arm(tables.arms, "sft")
    if best is not None:
        own = tables.arms[(tables.arms["method"] == "sft") & (tables.arms["arm"] == best)]
        axes[0].axhline(float(own["accuracy_mean"].iloc[0]), **line)
        others = [Line2D([], [], label="best SFT arm", **line)]
    labels = arm_labels(every, tables.settings["expert_iteration"])
    legend_of(figure, tables, "expert_iteration", looks, labels, others)
    return figure


def grpo_loop(tables: StudyTables) -> Figure:
    """Accuracy, format, entropy and lengths of the default loop."""
    panels = (ACCURACY, FORMAT, ENTROPY, partial(_lengths, tables))
    return experiment_figure(tables, "grpo", "loop", panels, 2)


def _lengths(tables: StudyTables, axes: Axes) -> None:
    """Length by step of all responses of the loop's arm, and of the right and the wrong ones."""
    looks, loop = arm_looks(list(LENGTHS)), tables.experiment("grpo", "loop")
    assert loop is not None  # this is a panel of its figure
    for panel, look in zip(LENGTH_PANELS, looks.values(), strict=True):
        draw_arm(axes, tables, "grpo", loop.arms[0], panel, look)
    axes.set_xlabel("step")
    axes.set_ylabel(LENGTH.label)
    handles = [
        Line2D([], [], color=look["color"], linestyle=look["linestyle"], label=LENGTHS[column])
        for column, look in looks.items()
    ]
    axes.legend(handles=handles, frameon=False)


def off_policy(tables: StudyTables, name: str) -> Figure:
    """Accuracy by step and by time, entropy beside expert iteration's, length and clipped share."""
    panels = (ACCURACY, ACCURACY_BY_TIME, LENGTH, ENTROPY, partial(_entropy_beside, tables), CLIPPED)
    return experiment_figure(tables, "grpo", name, panels, 3)


def _entropy_beside(tables: StudyTables, axes: Axes) -> None:
    """Entropy of expert iteration with its default settings, on the scale of the panel before."""
    look = {"color": "0.25", "linestyle": "-"}
    draw_panel(axes, tables, "expert_iteration", {DEFAULT: look}, ENTROPY, "no expert iteration here")
    axes.set_title("expert iteration")
    if axes.axison:
        axes.sharey(axes.figure.axes[axes.figure.axes.index(axes) - 1])


def ranking(tables: StudyTables) -> Figure:
    """All arms with an accuracy, best first."""
    rows = tables.leaderboard.dropna(subset="accuracy_mean")
    if rows.empty:
        return nothing_figure("no arm has a result")
    figure = new_figure(0.9 + 0.2 * len(rows))
    axes = figure.subplots()
    looks = arm_looks(METHODS)
    diverged = set(
        tables.arms.loc[tables.arms["diverged"] > 0, ["method", "arm"]].itertuples(index=False, name=None)
    )
    for place, row in enumerate(table_rows(rows)):
        if row.method not in looks:
            axes.plot([row.accuracy_mean], [place], "o", color="0.25", mfc="none", ms=6)
            continue
        look = looks[row.method]
        broken = {"marker": "x"} if (row.method, row.arm) in diverged else {}
        _interval(axes, place, row.accuracy_mean, row.low, row.high, {**look, **broken})
    axes.set_yticks(range(len(rows)), _row_names(tables, rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("final accuracy")
    return figure


def _row_names(tables: StudyTables, rows: pd.DataFrame) -> list[str]:
    """`grpo: epochs 4, batch 32` for every row of the leaderboard."""
    labels = {method: arm_labels(tables.every_arm(method), tables.settings[method]) for method in METHODS}
    return [
        f"{method.replace('_', ' ')}: {labels.get(method, {}).get(arm, arm)}"
        for method, arm in zip(rows["method"], rows["arm"], strict=True)
    ]
