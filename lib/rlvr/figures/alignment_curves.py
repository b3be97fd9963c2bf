"""Curves of the alignment study: panels of what the arms of an experiment did, step by step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rlvr.alignment.arms import Experiment
from rlvr.figures.alignment_labels import arm_labels, varying_settings
from rlvr.figures.curves import smooth
from rlvr.figures.style import FULL_WIDTH, LINES, MARKERS, arm_looks, new_figure, say

Looks = Mapping[str, Mapping[str, Any]]

STEP_WORDS = {"sft": "step", "expert_iteration": "round", "grpo": "step"}
PANEL_HEIGHT = 2.3  # inches
LEGEND_HEIGHT = 0.25  # of a row of it
LETTER_WIDTH, HANDLE_WIDTH = 0.075, 0.65  # inches of a legend's letter, and of its line with the gaps
LOG_FROM = 10  # times the least value, below which a log axis has no tick to read


@dataclass(frozen=True)
class StudyTables:
    """What the figures are drawn from.

    `curves`, `arms`, `leaderboard`: tables of the analysis. `metrics`: a row per training step, with columns
    method and arm. `categories`: the zero-shot table of each prompt. `settings`: the defaults by method.
    """

    curves: pd.DataFrame
    metrics: pd.DataFrame
    arms: pd.DataFrame
    leaderboard: pd.DataFrame
    categories: Mapping[str, pd.DataFrame]
    experiments: Sequence[Experiment]
    settings: Mapping[str, Mapping[str, Any]]

    def experiment(self, method: str, name: str) -> Experiment | None:
        """An experiment by name; None where the config has no such."""
        found = [one for one in self.experiments if (one.method, one.name) == (method, name)]
        return found[0] if found else None

    def every_arm(self, method: str) -> tuple[str, ...]:
        """All arms of a method, in the order of its experiments."""
        return tuple(
            dict.fromkeys(arm for one in self.experiments if one.method == method for arm in one.arms)
        )


@dataclass(frozen=True)
class Panel:
    """A column of the validations or of the training steps, over steps or over training seconds.

    `log`: a log axis if the values span LOG_FROM.
    """

    column: str
    label: str
    table: Literal["curves", "metrics"] = "curves"
    over: Literal["step", "seconds"] = "step"
    log: bool = False
    percent: bool = False


ACCURACY = Panel("accuracy", "validation accuracy", percent=True)
ACCURACY_BY_TIME = Panel("accuracy", "validation accuracy", over="seconds", percent=True)
FORMAT = Panel("format_rate", "in the format", percent=True)
ENTROPY = Panel("entropy_mean", "entropy (nats per token)")
LENGTH = Panel("length_mean", "response length (tokens)")
GRAD_NORM = Panel("grad_norm", "gradient norm", "metrics")
GRAD_NORM_LOG = Panel("grad_norm", "gradient norm", "metrics", log=True)
RATIO_LOG = Panel("ratio_max", "largest ratio", "metrics", log=True)
CLIPPED = Panel("clip_fraction", "clipped tokens", "metrics", percent=True)


def read_metrics(arms: Sequence[Sequence[str]], files: Sequence[str | Path]) -> pd.DataFrame:
    """The training steps of all arms in one table; numbers that are not finite are empty.

    `arms` are (method, arm) of `files`, in the same order; ValueError if their numbers differ.
    """
    tables = [
        pd.read_csv(file).assign(method=method, arm=arm)
        for (method, arm), file in zip(arms, files, strict=True)
    ]
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["method", "arm"])
    return found.replace([np.inf, -np.inf], np.nan)


def experiment_looks(arms: Sequence[str], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Look by arm. Where two settings vary, the first decides the colour, the second line and marker."""
    varying = varying_settings(arms, settings)
    looks = arm_looks(arms)
    if len(next(iter(varying.values()))) != 2:
        return looks
    firsts, seconds = (
        list(dict.fromkeys(values)) for values in zip(*map(dict.values, varying.values()), strict=True)
    )
    colours = arm_looks(firsts)
    return {
        arm: {
            "color": colours[first]["color"],
            "marker": MARKERS[seconds.index(second) % len(MARKERS)],
            "linestyle": LINES[seconds.index(second) % len(LINES)],
        }
        for arm, (first, second) in ((arm, own.values()) for arm, own in varying.items())
    }


def by_seed(table: pd.DataFrame, method: str, arm: str, column: str) -> pd.DataFrame:
    """Values of an arm, a row per step and a column per seed; of two rows of a step the last."""
    own = table[(table["method"] == method) & (table["arm"] == arm)]
    if column not in own or own[column].isna().all():
        return pd.DataFrame()
    return own.pivot_table(index="step", columns="seed", values=column, aggfunc="last").astype(float)


def draw_arm(
    axes: Axes, tables: StudyTables, method: str, arm: str, panel: Panel, look: Mapping[str, Any]
) -> bool:
    """Mean, band and marks of one arm in one panel; whether there was anything to draw."""
    table = getattr(tables, panel.table)
    seeds = by_seed(table, method, arm, panel.column)
    if seeds.empty:
        return False
    if panel.table == "metrics":
        seeds = seeds.apply(smooth)
    steps: pd.Index | pd.Series = seeds.index
    if panel.over == "seconds":
        steps = by_seed(table, method, arm, "seconds").mean(axis=1).reindex(seeds.index)
    line = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 1.6}
    axes.plot(steps, seeds.mean(axis=1), **line)
    axes.fill_between(
        steps, seeds.min(axis=1), seeds.max(axis=1), color=look["color"], alpha=0.18, linewidth=0
    )
    if panel.table == "curves":
        own = table[(table["method"] == method) & (table["arm"] == arm) & table["diverged"]]
        axes.plot(own[panel.over], own[panel.column], "x", color=look["color"], markersize=7, mew=2)
    return True


def draw_panel(
    axes: Axes,
    tables: StudyTables,
    method: str,
    looks: Looks,
    panel: Panel,
    nothing: str = "nothing recorded",
) -> None:
    """All arms of `looks` in one panel."""
    drawn = [draw_arm(axes, tables, method, arm, panel, look) for arm, look in looks.items()]
    if not any(drawn):
        say(axes, nothing)
        return
    if panel.log and _spans_decades(axes):
        axes.set_yscale("log")
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_ylabel(panel.label)
    axes.set_xlabel("training seconds" if panel.over == "seconds" else STEP_WORDS[method])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=panel.over == "step"))


def _spans_decades(axes: Axes) -> bool:
    """Whether the lines drawn are above zero, and the highest is LOG_FROM times the lowest."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    low, high = np.nanmin(values), np.nanmax(values)
    return bool(low > 0 and high >= LOG_FROM * low)


def legend_of(
    figure: Figure,
    tables: StudyTables,
    method: str,
    looks: Looks,
    labels: Mapping[str, str],
    others: Sequence[Line2D] = (),
) -> None:
    """The legend of the arms above the panels, of marks that diverged, and of `others`.

    In as many columns as the labels leave room for; none where a single arm is all there is.
    """
    handles = [
        Line2D([], [], color=look["color"], linestyle=look["linestyle"], linewidth=1.8, label=labels[arm])
        for arm, look in looks.items()
    ]
    rows = tables.arms[tables.arms["method"] == method]
    if rows.loc[rows["arm"].isin(list(looks)), "diverged"].any():
        marks: dict[str, Any] = {"marker": "x", "markersize": 7, "markeredgewidth": 2, "linestyle": ""}
        handles.append(Line2D([], [], color="0.25", label="seed diverged", **marks))
    handles.extend(others)
    if len(handles) > 1:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = int(FULL_WIDTH / (LETTER_WIDTH * longest + HANDLE_WIDTH))
        columns = min(max(1, columns), len(handles))
        figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)


def trained(tables: StudyTables, method: str, arms: Sequence[str]) -> tuple[str, ...]:
    """The arms that have a validation."""
    own = tables.curves[tables.curves["method"] == method]
    return tuple(arm for arm in arms if arm in set(own["arm"]))


def panel_grid(count: int, columns: int, arms: int) -> tuple[Figure, list[Axes]]:
    """A figure with as many axes as panels, row by row, and room for the legend of so many arms."""
    rows = -(-count // columns)
    figure = new_figure(rows * PANEL_HEIGHT + LEGEND_HEIGHT * (1 + arms // 4))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def nothing_figure(text: str) -> Figure:
    """A figure that says why it is empty."""
    figure = new_figure(1.2)
    say(figure.subplots(), text)
    return figure


def experiment_figure(
    tables: StudyTables,
    method: str,
    name: str,
    panels: Sequence[Panel | Callable[[Axes], None]],
    columns: int,
) -> Figure:
    """The panels of an experiment side by side, arms in the config's order; functions draw other panels."""
    experiment = tables.experiment(method, name)
    if experiment is None:
        return nothing_figure(f"the config has no experiment {method}.{name}")
    arms = trained(tables, method, experiment.arms)
    if not arms:
        return nothing_figure("no run was trained here")
    every = experiment_looks(experiment.arms, tables.settings[method])
    looks = {arm: every[arm] for arm in arms}
    figure, axes = panel_grid(len(panels), columns, len(arms))
    for one, panel in zip(axes, panels, strict=True):
        if isinstance(panel, Panel):
            draw_panel(one, tables, method, looks, panel)
        else:
            panel(one)
    legend_of(figure, tables, method, looks, arm_labels(experiment.arms, tables.settings[method]))
    return figure
