"""The figures of the reference problem of the advantage study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy import stats

from rlvr.advantage_study.scores import methods_table, scores_table
from rlvr.figures.advantage_captions import REFERENCE_FIGURES
from rlvr.figures.advantage_data import (
    ReferenceFigureInputs,
    ShownStatistics,
    reward_data,
    score_data,
    shown_statistics,
    statistics_data,
    sweep_runs,
)
from rlvr.figures.curves import smooth
from rlvr.figures.prompt_statistics import draw_prompts
from rlvr.figures.style import Drawing, arm_legend, arm_looks, new_figure, save_all, say
from rlvr.table_rows import table_rows

MOST_POINTS = 250  # of a curve: more would not be seen
TICKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000)
Looks = Mapping[str, Mapping[str, Any]]


def draw_reference_figures(inputs: ReferenceFigureInputs, out_folder: str | Path) -> None:
    """Write `{figure}.svg`, `.pdf` and `.csv` for every name in `REFERENCE_FIGURES`.

    ValueError if files and what they belong to differ in number; UserError if a statistics.npz is none.
    """
    save_all(drawings(inputs), out_folder)


def drawings(inputs: ReferenceFigureInputs) -> dict[str, Drawing]:
    """What draws each figure of REFERENCE_FIGURES, and its numbers."""
    scores = scores_table(inputs.methods, inputs.scores)
    methods = methods_table(inputs.methods, scores, inputs.confidence)
    compared = [one.name for one in inputs.methods if one.part == "comparison"]
    looks = arm_looks(compared)
    shown = shown_statistics(inputs, methods)
    every = {
        "advantage_reward_curves": Drawing(lambda: reward_curves(inputs, looks), reward_data(inputs, looks)),
        "advantage_scores": Drawing(
            lambda: final_scores(scores, methods), score_data(scores, methods, ["comparison", "variants"])
        ),
        "advantage_decays": Drawing(lambda: decays(methods), methods[methods["part"] == "comparison"]),
        "advantage_sweep": Drawing(lambda: sweep(scores), sweep_runs(scores)),
        "advantage_prompt_statistics": Drawing(lambda: prompt_statistics(shown), statistics_data(shown)),
    }
    return {name: every[name] for name in REFERENCE_FIGURES}


def _reward_axis(axes: Axes, which: str, values: np.ndarray) -> None:
    """A logarithmic axis for rewards below 0, with the best, 0, on the far side; `values` must fit on it."""
    values = values[np.isfinite(values)]
    axis = axes.yaxis if which == "y" else axes.xaxis
    scale, limits = (axes.set_yscale, axes.set_ylim) if which == "y" else (axes.set_xscale, axes.set_xlim)
    if not len(values) or values.max() >= 0:  # an interval may reach over 0: no logarithm of it
        return
    scale("function", functions=(lambda reward: -np.log(-np.minimum(reward, -1e-9)), lambda x: -np.exp(-x)))
    low, high = values.min() * 1.08, values.max() / 1.08
    inside = [-tick for tick in TICKS if low <= -tick <= high]
    axis.set_major_locator(FixedLocator(_spaced(inside) if inside else [low, high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    limits(low, high)


def _spaced(ticks: Sequence[int]) -> list[int]:
    """Those of `ticks` that are a factor of 1.35 or more from the one before."""
    kept: list[int] = []
    for tick in ticks:
        if not kept or tick / kept[-1] >= 1.35:
            kept.append(tick)
    return kept


def _band(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of each row (epochs × seeds) with the limits of Student's interval; NaN limits of one seed."""
    count = values.shape[1]
    mean = values.mean(axis=1)
    if count < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t(count - 1).ppf((1 + confidence) / 2) * values.std(axis=1, ddof=1) / np.sqrt(count)
    return mean, mean - half, mean + half


def reward_curves(inputs: ReferenceFigureInputs, looks: Looks) -> Figure:
    """Smoothed mean reward by epoch of the methods that are compared, with intervals over seeds."""
    figure = new_figure(3.6)
    axes = figure.subplots()
    drawn: dict[str, Mapping[str, Any]] = {}
    ends = []
    for one, path in zip(inputs.methods, inputs.rewards, strict=True):
        if one.name not in looks:
            continue
        table = pd.read_csv(path)
        if table.empty:
            continue
        seeds = table.pivot(index="epoch", columns="seed", values="reward").astype(float).apply(smooth)
        seeds = seeds.iloc[:: -(-len(seeds) // MOST_POINTS)]
        mean, low, high = _band(seeds.to_numpy(), inputs.confidence)
        look = looks[one.name]
        axes.plot(seeds.index, mean, color=look["color"], linestyle=look["linestyle"], linewidth=1.5)
        axes.fill_between(seeds.index, low, high, color=look["color"], alpha=0.15, linewidth=0)
        drawn[one.name] = look
        ends.extend([mean, low, high])
    if not drawn:
        say(axes, "no run of a method has rewards")
        return figure
    _reward_axis(axes, "y", np.concatenate(ends))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean reward (smoothed)")
    axes.margins(x=0.01)
    arm_legend(figure, drawn, lines=True)
    return figure


def _tracker_looks() -> dict[str, dict[str, Any]]:
    return arm_looks(["batch", "buffer", "ema"])


def final_scores(scores: pd.DataFrame, methods: pd.DataFrame) -> Figure:
    """Every seed, the mean and its interval, of the methods compared and of the variants."""
    shown = methods[methods["part"].isin(["comparison", "variants"])].reset_index(drop=True)
    figure = new_figure(0.9 + 0.27 * len(shown))
    axes = figure.subplots()
    colours = _tracker_looks()
    for place, (_, row) in enumerate(shown.iterrows()):
        look = colours[row["tracker"]]
        own = scores.loc[scores["method"] == row["method"], "score"]
        axes.plot(
            own, [place + 0.2] * len(own), "o", color=look["color"], mfc="none", ms=4, alpha=0.7, mew=0.8
        )
        _mean(axes, (row["score_mean"], place - 0.12), (row["score_low"], row["score_high"]), look, "x")
    axes.set_yticks(range(len(shown)), shown["method"])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    variants = np.flatnonzero(shown["part"] == "variants")
    if len(variants) and variants[0]:
        axes.axhline(variants[0] - 0.5, color="0.4", linewidth=0.8)
    limits = shown[["score_low", "score_high"]].to_numpy(float).ravel()
    _reward_axis(axes, "x", np.concatenate([scores["score"].to_numpy(float)[_of(scores, shown)], limits]))
    axes.set_xlabel("mean reward of the last epochs")
    axes.grid(axis="y", visible=False)
    return figure


def _of(scores: pd.DataFrame, shown: pd.DataFrame) -> np.ndarray:
    return scores["method"].isin(shown["method"]).to_numpy()


def _mean(
    axes: Axes, at: tuple[float, float], limits: tuple[float, float], look: Mapping[str, Any], along: str
) -> None:
    """A filled mark at the mean and a bar along its interval; no bar where there is none."""
    bar = (limits, (at[1], at[1])) if along == "x" else ((at[0], at[0]), limits)
    axes.plot(*bar, color=look["color"], linewidth=1.8)
    axes.plot(*at, look["marker"], color=look["color"], ms=6, mec="white", mew=0.7)


def decays(methods: pd.DataFrame) -> Figure:
    """Score by decay, on an axis of the memory 1 / (1 − decay); batch and buffer as lines with bands."""
    figure = new_figure(3.2)
    axes = figure.subplots()
    own = methods[(methods["part"] == "comparison") & (methods["tracker"] == "ema")].sort_values("decay")
    colours, drawn = _tracker_looks(), {}
    numbers = [own[["score_mean", "score_low", "score_high"]]]
    for name in ("batch", "buffer"):
        row = methods[methods["method"] == name]
        if row.empty or row["score_mean"].isna().all():
            continue
        first, look = row.iloc[0], colours[name]
        axes.axhline(first["score_mean"], color=look["color"], linestyle=look["linestyle"], linewidth=1.4)
        axes.axhspan(first["score_low"], first["score_high"], color=look["color"], alpha=0.15, linewidth=0)
        drawn[name] = look
        numbers.append(first[["score_mean", "score_low", "score_high"]].to_frame().T)
    memory = 1 / (1 - own["decay"])
    look = colours["ema"]
    axes.plot(memory, own["score_mean"], color=look["color"], linestyle=look["linestyle"], linewidth=1.2)
    for place, one in zip(memory, table_rows(own), strict=True):
        _mean(axes, (place, one.score_mean), (one.score_low, one.score_high), look, "y")
    if len(memory):
        axes.set_xlim(memory.min() / 1.3, memory.max() * 1.3)
    axes.set_xscale("log")
    axes.set_xticks(memory, [f"{decay:g}" for decay in own["decay"]])
    axes.xaxis.set_minor_locator(NullLocator())
    _reward_axis(axes, "y", pd.concat(numbers).to_numpy(float).ravel())
    axes.set_xlabel("decay of the moving average (spaced by memory, 1 / (1 − decay) rewards)")
    axes.set_ylabel("mean reward of the last epochs")
    arm_legend(figure, {**drawn, "moving average": look}, lines=True)
    return figure


def sweep(scores: pd.DataFrame) -> Figure:
    """Heat map of the mean score over the seeds that all cells have, by buffer size and least count."""
    runs = sweep_runs(scores)
    figure = new_figure(1.1 + 0.45 * max(2, runs["min_count"].nunique() + 1))
    axes = figure.subplots()
    cells = runs.pivot(index="seed", columns=["min_count", "buffer_size"], values="score").dropna()
    if cells.empty:
        say(axes, "no seed has a finite score in every cell of the sweep")
        return figure
    grid = cells.mean().unstack("buffer_size")
    texts = grid.map(lambda mean: "" if np.isnan(mean) else f"{mean:.1f}".replace("-", "−"))
    sns.heatmap(
        grid, ax=axes, cmap="viridis", annot=texts, fmt="", linewidths=1.5,
        cbar_kws={"label": "mean reward of the last epochs"},
    )  # fmt: skip
    standard = runs[runs["method"] == "buffer"]
    for size, least in standard[["buffer_size", "min_count"]].drop_duplicates().itertuples(index=False):
        corner = list(grid.columns).index(size), list(grid.index).index(least)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2.2))
    axes.set_xlabel("buffer size (rewards of a prompt)")
    axes.set_ylabel("least count")
    axes.tick_params(axis="y", rotation=0)
    return figure


def prompt_statistics(shown: ShownStatistics | None) -> Figure:
    """A panel a prompt: what each method held of it over the epochs."""
    if shown is None:
        figure = new_figure(1.2)
        say(figure.subplots(), "no seed has statistics of the buffer and of a moving average")
        return figure
    return draw_prompts(shown.series, shown.prompts)
