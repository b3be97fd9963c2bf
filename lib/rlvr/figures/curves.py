"""Figures over training steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlvr.analysis.load import SEED_REPEAT
from rlvr.figures.style import arm_legend, arm_looks, new_figure, say

PANELS = {
    "reward_mean": "reward",
    "accuracy": "accuracy of rollouts",
    "kl_base_k3": "KL to base, k3\n(nats per response)",
    "entropy": "entropy (nats per token)",
}
# What other figures take from the metrics.
OTHERS = ("lost_update",)
# Curves are averaged over a window of a 24th of the run, 5 of 120 steps.
WINDOWS = 24


def read_curves(files: Sequence[str | Path], labels: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """The metrics of the runs that enter seed statistics in one table, with columns arm and seed."""
    columns = ["arm", "seed", "step", *PANELS, *OTHERS]
    tables = [pd.DataFrame(columns=columns)]
    for file, (arm, seed, rep) in zip(files, labels, strict=True):
        if int(rep) == SEED_REPEAT:
            tables.append(pd.read_csv(file).assign(arm=arm, seed=int(seed))[columns])
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


def smooth(values: pd.Series) -> pd.Series:
    """Centred rolling mean; steps without a value are passed over."""
    return values.rolling(max(1, len(values) // WINDOWS), center=True, min_periods=1).mean()


def _by_seed(curves: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    """Smoothed values, a row per step that has some and a column per seed."""
    own = curves[curves["arm"] == arm].dropna(subset=metric)
    return own.pivot(index="step", columns="seed", values=metric).astype(float).apply(smooth)


def _draw_band(axes: Axes, seeds: pd.DataFrame, look: Mapping[str, Any]) -> None:
    mean = seeds.mean(axis=1)
    axes.plot(mean.index, mean, color=look["color"], linestyle=look["linestyle"], linewidth=1.6)
    if seeds.shape[1] > 1:
        sd = seeds.std(axis=1, ddof=1)
        axes.fill_between(mean.index, mean - sd, mean + sd, color=look["color"], alpha=0.18, linewidth=0)


def training_curves(curves: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Reward, accuracy, KL to the base and entropy by step: mean over seeds and ± one sd."""
    figure, looks = new_figure(4.6), arm_looks(arms)
    trained = {arm: look for arm, look in looks.items() if arm in set(curves["arm"])}
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (metric, label) in zip(panels.flat, PANELS.items(), strict=True):
        for arm, look in trained.items():
            _draw_band(axes, _by_seed(curves, arm, metric), look)
        axes.set_ylabel(label)
        if not trained:
            say(axes, "no run was trained here")
    for axes in panels[-1]:
        axes.set_xlabel("step")
    if trained:
        arm_legend(figure, trained, lines=True)
    return figure


def kl_snapshots(drift: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """KL to the base of the base itself (step 0), the snapshots and the last step, on-task and off-task.

    `drift`: the rows of drift.csv. Marks: each seed (off-task: its mean over tasks); line: mean over seeds.
    """
    figure, looks = new_figure(3.2), arm_looks(arms)
    seen = {arm: look for arm, look in looks.items() if arm in set(drift["arm"])}
    panels = figure.subplots(1, 2, sharey=True)
    for axes, on_task in zip(panels, (True, False), strict=True):
        own = drift[(drift["on_task"] == on_task) & (drift["rep"] == SEED_REPEAT)]
        if own.empty:
            say(axes, "no snapshots were evaluated here")
            continue
        for arm, look in seen.items():
            points = own[own["arm"] == arm].groupby(["step", "seed"])["kl_full"].mean().reset_index()
            mean = points.groupby("step")["kl_full"].mean()
            axes.plot([0, *mean.index], [0.0, *mean], color=look["color"], linestyle=look["linestyle"])
            axes.plot(
                points["step"], points["kl_full"], look["marker"], color=look["color"], mfc="none", ms=4
            )
        axes.set_title("on-task" if on_task else "off-task, mean over tasks")
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("KL to base (nats per response)")
    if seen:
        arm_legend(figure, seen, lines=True)
    return figure


def kl_drift(curves: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """KL to the base over the steps: each seed as a thin line, the mean as a thick one."""
    figure, looks = new_figure(3.2), arm_looks(arms)
    trained = {arm: look for arm, look in looks.items() if arm in set(curves["arm"])}
    axes = figure.subplots()
    if not trained:
        say(axes, "no run was trained here")
        return figure
    for arm, look in trained.items():
        seeds = _by_seed(curves, arm, "kl_base_k3")
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        axes.plot(seeds.index, seeds, linewidth=0.7, alpha=0.45, **line)
        axes.plot(seeds.index, seeds.mean(axis=1), linewidth=2.0, **line)
    axes.set_xlabel("step")
    axes.set_ylabel("KL to base, k3 (nats per response)")
    axes.set_ylim(bottom=0)
    arm_legend(figure, trained, lines=True)
    return figure
