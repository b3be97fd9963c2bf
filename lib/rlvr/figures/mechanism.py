"""Figures of what training did to the weights: what was lost, moved, turned, and changed in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from rlvr.analysis.load import SEED_REPEAT
from rlvr.analysis.mechanism import KINDS, NULLS, SPECTRAL, shares
from rlvr.figures.spectral import spectral_ratios
from rlvr.figures.style import arm_legend, arm_looks, dodge, new_figure, say

MOST_LAYERS = 10  # that are named on an axis


def _kinds(geometry: pd.DataFrame) -> list[str]:
    return [kind for kind in KINDS if (geometry["kind"] == kind).any()]


def lost_update(curves: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Share of the intended update that the stored weights have not taken, by step: each seed and mean."""
    figure, looks = new_figure(3.2), arm_looks(arms)
    axes = figure.subplots()
    trained = {arm: look for arm, look in looks.items() if arm in set(curves["arm"])}
    for arm, look in trained.items():
        seeds = curves[curves["arm"] == arm].pivot(index="step", columns="seed", values="lost_update")
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        axes.plot(seeds.index, seeds, linewidth=0.7, alpha=0.45, **line)
        axes.plot(seeds.index, seeds.mean(axis=1), linewidth=2.0, **line)
    if not trained:
        say(axes, "no run was trained here")
        return figure
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("step")
    axes.set_ylabel("intended update not applied")
    arm_legend(figure, trained, lines=True)
    return figure


def moved_weights(geometry: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Share of weights moved in bf16 view by kind of matrix and arm, and the share that one step can move."""
    trained = {arm: look for arm, look in arm_looks(arms).items() if arm in set(geometry["arm"])}
    figure, kinds = new_figure(3.5), _kinds(geometry)
    axes = figure.subplots()
    for index, (arm, look) in enumerate(trained.items()):
        own = geometry[geometry["arm"] == arm]
        moved, movable = shares(own, "moved", "kind", "seed"), shares(own, "movable", "kind")
        for column, kind in enumerate(kinds):
            x = column + dodge(index, len(trained))
            axes.plot([x], [movable[kind]], "_", color=look["color"], markersize=11, markeredgewidth=1.6)
            _marks(axes, x, moved[kind], look)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("share of weights")
    axes.grid(axis="x", visible=False)
    arm_legend(figure, trained, lines=False)
    return figure


def _marks(axes: Axes, x: float, seeds: pd.Series, look: Mapping[str, Any]) -> None:
    """An open mark for each seed, a filled one for their mean."""
    plain = {"marker": look["marker"], "color": look["color"], "linestyle": ""}
    axes.plot(np.full(len(seeds), x), seeds, mfc="none", markersize=3, markeredgewidth=0.6, **plain)
    axes.plot([x], [seeds.mean()], markersize=6, markeredgecolor="white", markeredgewidth=0.7, **plain)


def sparsity_by_layer(geometry: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Share of weights equal to the base's in bf16, layer by kind, a panel for each arm."""
    trained = [arm for arm in arms if arm in set(geometry["arm"])]
    layers = geometry.dropna(subset=["layer"])
    if layers.empty:
        figure = new_figure(1.2)
        say(figure.subplots(), "no weight belongs to a numbered layer")
        return figure
    kinds, depth = _kinds(layers), layers["layer"].nunique()
    columns = min(3, len(trained))
    rows = -(-len(trained) // columns)
    figure = new_figure(rows * (0.9 + min(0.28 * depth, 3.0)))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, arm in zip(panels.flat, trained, strict=False):
        grid = shares(layers[layers["arm"] == arm], "sparsity", "layer", "kind").unstack()[kinds]
        mesh = axes.pcolormesh(grid, vmin=0, vmax=1, cmap="cividis")
        axes.set_title(arm)
        axes.set_xticks([place + 0.5 for place in range(len(kinds))], kinds, rotation=60)
        shown = range(0, len(grid), -(-len(grid) // MOST_LAYERS))
        axes.set_yticks([place + 0.5 for place in shown], [f"{grid.index[place]:.0f}" for place in shown])
        axes.grid(visible=False)
        axes.set_ylabel("layer" if axes.get_subplotspec().is_first_col() else "")
    for axes in panels.flat[len(trained) :]:
        axes.set_axis_off()
    for axes in panels.flat[len(trained) - columns : len(trained)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    panels[0, 0].invert_yaxis()  # of all panels: they share it
    bar = figure.colorbar(
        mesh, ax=panels, format=PercentFormatter(1.0), label="unchanged in bf16", shrink=0.8
    )
    assert bar.solids is not None  # a colour bar of a mesh has them
    bar.solids.set_rasterized(False)  # a page needs no pictures inside a drawing
    return figure


def spectral_shift(geometry: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Shift of spectrum and subspace over that of isotropic changes of equal norm, by kind and arm."""
    trained = {arm: look for arm, look in arm_looks(arms).items() if arm in set(geometry["arm"])}
    matrices = geometry.dropna(subset=list(SPECTRAL))
    figure, kinds = new_figure(3.4), _kinds(matrices)
    panels = figure.subplots(1, len(SPECTRAL), sharey=True)
    for axes, (column, label) in zip(panels, SPECTRAL.items(), strict=True):
        if matrices.empty:
            say(axes, "no matrix has changed")
            continue
        means = spectral_ratios(matrices, "arm", "kind", "seed")[column]
        for index, (arm, look) in enumerate(trained.items()):
            for place, kind in enumerate(kinds):
                if (arm, kind) in means.index:
                    _marks(axes, place + dodge(index, len(trained)), means[arm, kind], look)
        axes.axhline(1, color="0.25", linewidth=0.9, zorder=1)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(range(len(kinds)), kinds, rotation=45)
        axes.set_title(label)
        axes.grid(axis="x", visible=False)
    panels[0].set_ylabel("observed / isotropic")
    arm_legend(figure, trained, lines=False)
    return figure


def _overlap_rows(overlap: pd.DataFrame, arms: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Pairs of seeds of each arm, then pairs of equal seed of each arm with the reference."""
    first = overlap[(overlap["rep_a"] == SEED_REPEAT) & (overlap["rep_b"] == SEED_REPEAT)]
    for arm in arms:
        yield f"{arm}: two seeds", first[(first["pair"] == "seeds") & (first["mode_a"] == arm)]
    other = first[first["pair"] == "modes"]
    for arm in arms[1:]:
        pair = other["mode_a"].isin([arms[0], arm]) & other["mode_b"].isin([arms[0], arm])
        yield f"{arm} and {arms[0]}, same seed", other[pair]


def overlap_of_updates(overlap: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Jaccard index of the changed weights of two runs, by what differs between them, beside the nulls."""
    rows = [(label, own) for label, own in _overlap_rows(overlap, arms) if len(own.dropna())]
    figure = new_figure(1.1 + 0.27 * max(len(rows), 2))
    axes = figure.subplots()
    if not rows:
        say(axes, "fewer than two runs to compare")
        return figure
    shades = dict(zip(NULLS, ("0.75", "0.5", "0.2"), strict=True))
    for y, (_, own) in enumerate(rows):
        for null, shade in shades.items():
            axes.plot([own[null].mean()], [y], "|", color=shade, markersize=12, markeredgewidth=2.2)
        axes.plot(own["jaccard"], np.full(len(own), y), "o", mfc="none", color="C0", markersize=3.5)
        axes.plot([own["jaccard"].mean()], [y], "o", color="C0", markersize=6, markeredgecolor="white")
    for null, shade in shades.items():
        axes.plot([], [], "|", color=shade, markersize=10, markeredgewidth=2.2, label=f"null: {NULLS[null]}")
    axes.plot([], [], "o", color="C0", label="observed")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("Jaccard index of the changed weights")
    axes.grid(axis="y", visible=False)
    return figure
