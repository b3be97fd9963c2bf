"""Figures by task and arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from rlvr.analysis.gains import gain_rows
from rlvr.analysis.hypothesis import BASES, POOLED
from rlvr.analysis.load import SEED_REPEAT
from rlvr.figures.style import arm_legend, arm_looks, dodge, new_figure, say


def _tasks(table: pd.DataFrame) -> list[str]:
    """Tasks in the order of the table, the on-task one first."""
    return list(dict.fromkeys(table["task"]))


def _label_tasks(axes: Axes, table: pd.DataFrame) -> None:
    tasks = _tasks(table)
    on_task = set(table.loc[table["on_task"], "task"])
    labels = [f"{task}\n(on-task)" if task in on_task else task for task in tasks]
    crowded = len(tasks) > 7
    axes.set_xticks(
        range(len(tasks)), labels, rotation=30 if crowded else 0, ha="right" if crowded else "center"
    )
    axes.set_xlim(-0.5, len(tasks) - 0.5)
    axes.grid(axis="x", visible=False)
    for boundary in range(1, len(tasks)):
        axes.axvline(boundary - 0.5, color="0.9", linewidth=0.6, zorder=0)


def _spread(count: int, width: float) -> np.ndarray:
    """Offsets that keep the seeds of one arm from hiding each other."""
    return np.linspace(-width, width, count) if count > 1 else np.zeros(1)


def _seed_points(axes: Axes, x: float, values: pd.Series, look: Mapping[str, Any], width: float) -> None:
    axes.scatter(
        x + _spread(len(values), width), values, s=9, marker=look["marker"], facecolor="none",
        edgecolor=look["color"], linewidth=0.7, alpha=0.85, zorder=2,
    )  # fmt: skip


def _mean_mark(axes: Axes, x: float, mean: float, low: float, high: float, look: Mapping[str, Any]) -> None:
    """A filled mark at the mean; a bar from low to high if both are numbers."""
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([x, x], [low, high], color=look["color"], linewidth=1.8, zorder=3)
    axes.plot(
        [x], [mean], marker=look["marker"], color=look["color"], markersize=6, markeredgecolor="white",
        markeredgewidth=0.7, zorder=4,
    )  # fmt: skip


def _first_repeats(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["rep"] == SEED_REPEAT]


def gain_data(runs: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """ΔJ of each run in points, beside its arm's mean on the task with its interval as in `gain_rows`."""
    columns = ["mean", "low", "high", "with_base"]
    own = runs[["arm", "seed", "rep", "task", "on_task", "delta_points"]]
    return own.join(gain_rows(arms)[columns], on=["arm", "task"])


def delta_by_task(runs: pd.DataFrame, arms: pd.DataFrame, order: Sequence[str]) -> Figure:
    """ΔJ by task and arm: each seed, the mean, and its interval as in `gain_rows`."""
    figure, looks = new_figure(3.5), arm_looks(order)
    axes = figure.subplots()
    chosen = gain_rows(arms)
    seeds = _first_repeats(runs)
    step = 0.72 / len(order)
    for column, task in enumerate(_tasks(arms)):
        for index, (arm, look) in enumerate(looks.items()):
            x = column + dodge(index, len(order))
            own = seeds[(seeds["arm"] == arm) & (seeds["task"] == task)]
            mean, low, high = (chosen[name].loc[(arm, task)] for name in ("mean", "low", "high"))
            _seed_points(axes, x, own["delta_points"], look, step * 0.28)
            _mean_mark(axes, x, mean, low, high, look)
    axes.axhline(0, color="0.25", linewidth=0.9, zorder=1)
    axes.set_ylabel("ΔJ (points)")
    _label_tasks(axes, arms)
    arm_legend(figure, looks, lines=False)
    return figure


def kl_by_task(runs: pd.DataFrame, order: Sequence[str]) -> Figure:
    """KL to the base by task and arm on a log scale: each seed, and the geometric mean."""
    figure, looks = new_figure(3.5), arm_looks(order)
    axes = figure.subplots()
    seeds = _first_repeats(runs)
    measured = seeds[seeds["kl_full"] > 0]
    if measured.empty:
        say(axes, "no KL above zero was measured")
        return figure
    step = 0.72 / len(order)
    for column, task in enumerate(_tasks(runs)):
        for index, (arm, look) in enumerate(looks.items()):
            own = measured.loc[(measured["arm"] == arm) & (measured["task"] == task), "kl_full"]
            if len(own):
                x = column + dodge(index, len(order))
                _seed_points(axes, x, own, look, step * 0.28)
                _mean_mark(axes, x, float(np.exp(np.log(own).mean())), np.nan, np.nan, look)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("KL to base (nats per response)")
    _label_tasks(axes, runs)
    arm_legend(figure, looks, lines=False)
    return figure


def sparsity(weights: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Share of weights that are equal to the base's in bf16, by arm: each seed, and the mean."""
    looks = arm_looks(order)
    figure = new_figure(0.9 + 0.4 * len(order))
    axes = figure.subplots()
    seeds = _first_repeats(weights).dropna(subset=["sparsity"])
    if seeds.empty:
        say(axes, "the weights of no run were compared")
        return figure
    for row, (arm, look) in enumerate(looks.items()):
        own = seeds.loc[seeds["arm"] == arm, "sparsity"]
        if len(own):
            axes.barh(row, own.mean(), height=0.62, color=look["color"], alpha=0.45, zorder=1)
            axes.scatter(
                own, row + _spread(len(own), 0.2), s=10, marker=look["marker"], color=look["color"], zorder=3
            )
            axes.text(min(own.max() + 0.02, 1.02), row, f"{100 * own.mean():.1f} %", va="center")
    axes.set_yticks(range(len(order)), list(order))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.14)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("weights equal to the base's in bf16")
    axes.grid(axis="y", visible=False)
    return figure


RATIO_COLUMNS = ["arm", "reference", "basis", "task", "effect", "low", "high", "pvalue_adjusted", "verdict"]


def _ratios(claims: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The claims of H2 that have a ratio."""
    return [claim for claim in claims if claim["id"] == "H2" and claim["effect"]]


def ratio_data(claims: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The variance ratios, with interval, adjusted p and verdict."""
    return pd.DataFrame(_ratios(claims), columns=RATIO_COLUMNS)


def variance_ratio(claims: Sequence[Mapping[str, Any]], order: Sequence[str], smallest: float) -> Figure:
    """Variance of ΔJ over seeds, arm over reference, by off-task and pooled, with intervals.

    A panel at equal steps and one at equal progress.
    """
    tested = _ratios(claims)
    arms = [arm for arm in order if any(claim["arm"] == arm for claim in tested)]
    tasks = list(dict.fromkeys(claim["task"] for claim in tested if claim["task"] != POOLED))
    rows = [*tasks, POOLED]
    figure = new_figure(1.2 + 0.16 * len(rows) * max(len(arms), 1.5))
    if not arms:
        say(
            figure.subplots(), "no variance ratio: fewer than two arms, two seeds or one off-task with spread"
        )
        return figure
    # Colours and marks are those of the other figures, so the reference keeps its place in the palette.
    looks = {arm: look for arm, look in arm_looks(order).items() if arm in arms}
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, (basis, title) in zip(panels, BASES.items(), strict=True):
        own = [claim for claim in tested if claim["basis"] == basis]
        _ratio_panel(axes, own, rows, looks, smallest)
        axes.set_title(title)
    figure.supxlabel(
        f"variance ratio of ΔJ over seeds, arm / {tested[0]['reference']} (dashed: {smallest:g})", fontsize=9
    )
    arm_legend(figure, looks, lines=False)
    return figure


def _ratio_panel(
    axes: Axes,
    claims: Sequence[Mapping[str, Any]],
    rows: Sequence[str],
    looks: Mapping[str, Mapping[str, Any]],
    smallest: float,
) -> None:
    arms = list(looks)
    for claim in claims:
        look, y = (
            looks[claim["arm"]],
            rows.index(claim["task"]) + dodge(arms.index(claim["arm"]), len(arms), 0.6),
        )
        if claim["low"] is not None and claim["high"] is not None:
            axes.plot([claim["low"], claim["high"]], [y, y], color=look["color"], linewidth=1.8)
        axes.plot([claim["effect"]], [y], marker=look["marker"], color=look["color"], markersize=6,
                  markeredgecolor="white", markeredgewidth=0.7)  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="0.25", linewidth=0.9, zorder=1)
    axes.axvline(smallest, color="0.25", linewidth=0.9, linestyle="--", zorder=1)
    axes.axhline(len(rows) - 1.5, color="0.7", linewidth=0.8)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
