"""Figures at equal on-task progress."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlvr.analysis.load import SEED_REPEAT
from rlvr.figures.style import arm_legend, arm_looks, new_figure, say


def _paths(drift: pd.DataFrame, column: str, on_task: bool) -> pd.Series:
    """The measure by arm, seed and step, a mean over the tasks of that side."""
    own = drift[(drift["on_task"] == on_task) & (drift["rep"] == SEED_REPEAT)]
    return own.groupby(["arm", "seed", "step"])[column].mean()


def progress_paths(drift: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Where the checkpoints went: on-task gain, and off-task KL, against on-task KL; the base is the origin.

    `drift`: the rows of drift.csv. Marks: each seed's checkpoints; lines: means over seeds, step by step.
    """
    figure, looks = new_figure(3.3), arm_looks(arms)
    seen = {arm: look for arm, look in looks.items() if arm in set(drift["arm"])}
    panels = figure.subplots(1, 2)
    on_task = _paths(drift, "kl_full", on_task=True)
    heights = {
        "on-task ΔJ (points)": _paths(drift, "delta_points", on_task=True),
        "off-task KL (nats per response)": _paths(drift, "kl_full", on_task=False),
    }
    for axes, (label, height) in zip(panels, heights.items(), strict=True):
        points = pd.DataFrame({"x": on_task, "y": height}).dropna()
        if points.empty:
            say(axes, "no snapshots were evaluated here")
            continue
        for arm, look in seen.items():
            own = points.loc[[arm]] if arm in points.index.get_level_values("arm") else points.iloc[:0]
            mean = own.groupby("step").mean()
            axes.plot([0, *mean["x"]], [0, *mean["y"]], color=look["color"], linestyle=look["linestyle"])
            axes.plot(own["x"], own["y"], look["marker"], color=look["color"], mfc="none", ms=3.5)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("on-task KL (nats per response)")
        axes.set_ylabel(label)
    if seen:
        arm_legend(figure, seen, lines=True)
    return figure
