"""The figure of GRPO with each estimator of the advantage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rlvr.advantage_study.scores import mean_columns
from rlvr.figures.advantage_captions import ESTIMATOR_FIGURES
from rlvr.figures.curves import smooth
from rlvr.figures.style import Drawing, arm_legend, arm_looks, new_figure, save_all, say


def draw_estimator_figure(
    estimators: Sequence[str],
    metrics_files: Sequence[str | Path],
    validation_files: Sequence[str | Path],
    confidence: float,
    out_folder: str | Path,
) -> None:
    """Write `{figure}.svg`, `.pdf` and `.csv` for the name in `ESTIMATOR_FIGURES`; files as `estimators`."""
    (name,) = ESTIMATOR_FIGURES
    metrics = read_by_estimator(estimators, metrics_files)
    validation = read_by_estimator(estimators, validation_files)
    drawing = Drawing(
        lambda: draw_grpo(metrics, validation, estimators, confidence), estimator_data(metrics, validation)
    )
    save_all({name: drawing}, out_folder)


def estimator_data(
    metrics: Mapping[str, pd.DataFrame], validation: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Training reward of every step, and the held-out accuracies that were taken, a value a row."""
    parts = [
        tables[name][["seed", "step"]].assign(estimator=name, quantity=column, value=tables[name][column])
        for tables, column in ((metrics, "reward_mean"), (validation, "accuracy"))
        for name in tables
    ]
    return pd.concat(parts)[["estimator", "quantity", "seed", "step", "value"]]


def read_by_estimator(estimators: Sequence[str], files: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """The tables by estimator; ValueError if there is not one for each."""
    return {name: pd.read_csv(path) for name, path in zip(estimators, files, strict=True)}


def draw_grpo(
    metrics: Mapping[str, pd.DataFrame],
    validation: Mapping[str, pd.DataFrame],
    estimators: Sequence[str],
    confidence: float,
) -> Figure:
    """Training reward by step, and held-out accuracy before and after training."""
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    looks = {name: look for name, look in arm_looks(estimators).items() if len(metrics[name])}
    if not looks:
        say(left, "no run of GRPO has a result")
        right.set_axis_off()
        return figure
    for name, look in looks.items():
        table = metrics[name].pivot_table(index="step", columns="seed", values="reward_mean", aggfunc="last")
        seeds = table.astype(float).apply(smooth)
        left.plot(
            seeds.index, seeds.mean(axis=1), color=look["color"], linestyle=look["linestyle"], linewidth=1.6
        )
        left.fill_between(
            seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=look["color"], alpha=0.15, linewidth=0
        )
    left.set_xlabel("step")
    left.set_ylabel("training reward (smoothed)")
    left.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    _accuracy(right, {name: validation[name] for name in looks}, looks, confidence)
    arm_legend(figure, {name.replace("_", " "): look for name, look in looks.items()}, lines=True)
    return figure


def _accuracy(
    axes: Axes,
    validation: Mapping[str, pd.DataFrame],
    looks: Mapping[str, Mapping[str, Any]],
    confidence: float,
) -> None:
    for place, (name, look) in enumerate(looks.items()):
        table = validation[name]
        final = table.loc[table["final"].astype(bool), "accuracy"].astype(float)
        final = final[np.isfinite(final)]
        start = table.loc[table["step"] == 0, "accuracy"].astype(float).mean()
        mean, _, low, high = mean_columns(final, confidence)
        axes.plot(start, place, look["marker"], color=look["color"], mfc="none", ms=6)
        axes.plot(final, [place + 0.22] * len(final), "o", color=look["color"], ms=2.6, alpha=0.8, mew=0)
        axes.plot([low, high], [place, place], color=look["color"], linewidth=1.8)
        axes.plot(mean, place, look["marker"], color=look["color"], ms=6, mec="white", mew=0.7)
    axes.set_yticks(
        range(len(looks)), [name.replace("_", " ").replace("prompt ", "prompt\n") for name in looks]
    )
    axes.set_ylim(len(looks) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("held-out accuracy")
    axes.grid(axis="y", visible=False)
