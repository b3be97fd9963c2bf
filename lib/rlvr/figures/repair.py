"""The figures of the repair study."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from rlvr.figures.repair_captions import REPAIR_CAPTIONS
from rlvr.figures.style import Drawing, arm_looks, new_figure, save_all, say
from rlvr.files import read_json


def draw_repair_figures(results: str | Path, variance: str | Path, folder: str | Path) -> None:
    """Draw all figures from validation_results.json and the variance table into `folder`."""
    record, rows = read_json(results), pd.read_csv(variance)
    drawings = {
        "repair_calibration": Drawing(lambda: calibration(record), calibration_data(record)),
        "repair_variance_error": Drawing(lambda: variance_error(rows), rows),
    }
    save_all({name: drawings[name] for name in REPAIR_CAPTIONS}, folder)


def calibration_data(results: dict[str, Any]) -> pd.DataFrame:
    """The success rate with its interval and target, and the number of failures of each kind."""
    low, high = results["target"]
    numbers = {key: results[key] for key in ("runs", "passed", "rate", "low", "high")}
    numbers |= {"target_low": low, "target_high": high}
    numbers |= {f"failures: {kind}": count for kind, count in results["failures"].items()}
    return pd.DataFrame(list(numbers.items()), columns=["quantity", "value"])


def calibration(results: dict[str, Any]) -> Figure:
    """Success rate with its interval against the target, and the failures by kind."""
    figure = new_figure(2.6)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.3])
    _success(left, results)
    _failures(right, results["failures"])
    return figure


def _success(axes: Axes, results: dict[str, Any]) -> None:
    low, high = results["target"]
    axes.axvspan(low, high, color="0.88", zorder=0)
    axes.axvline(low, color="0.5", linewidth=0.8, linestyle="--")
    axes.axvline(high, color="0.5", linewidth=0.8, linestyle="--")
    look = arm_looks(["rate"])["rate"]
    axes.plot([results["low"], results["high"]], [0, 0], color=look["color"], linewidth=1.8)
    axes.plot([results["rate"]], [0], marker=look["marker"], color=look["color"], markersize=6,
              markeredgecolor="white", markeredgewidth=0.7)  # fmt: skip
    axes.annotate(
        f"{results['passed']} of {results['runs']}", (results["rate"], 0), xytext=(0, 8),
        textcoords="offset points", ha="center",
    )  # fmt: skip
    solver = results["solver"]
    axes.set_yticks([0], [f"{solver['name']}\n{solver['model'] or '(no model)'}"])
    axes.set_ylim(-1, 1)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel(f"success rate (grey: target; {results['verdict']})")
    axes.grid(axis="y", visible=False)


def _failures(axes: Axes, failures: dict[str, int]) -> None:
    if not failures:
        say(axes, "no attempt failed")
        return
    colour = arm_looks(["first", "second"])["second"]["color"]
    axes.barh(list(failures), list(failures.values()), height=0.62, color=colour, alpha=0.6)
    axes.invert_yaxis()
    axes.set_yticks(range(len(failures)), [kind.replace("_", " ") for kind in failures])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("failed attempts by kind")
    axes.grid(axis="y", visible=False)


def variance_error(rows: pd.DataFrame) -> Figure:
    """Relative error of the variance by drop rate: lines are theory, marks measured; symlog scale."""
    figure = new_figure(3.3)
    axes = figure.subplots()
    series = list(rows.groupby(["scale", "mean"], sort=False))
    looks = arm_looks([str(name) for name, _ in series])
    for name, own in series:
        look, (scale, mean) = looks[str(name)], name
        label = f"scale {str(scale).replace('sqrt(keep)', '√keep')}, inputs of mean {mean:g}"
        axes.plot(
            own["rate"], 100 * own["theory"], color=look["color"], linestyle=look["linestyle"], label=label
        )
        axes.plot(own["rate"], 100 * own["measured"], color=look["color"], marker=look["marker"],
                  linestyle="", markersize=5, markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    axes.axhspan(-10, 10, color="0.88", zorder=0)
    axes.set_yscale("symlog", linthresh=10, linscale=0.8)
    axes.set_yticks([-10, 0, 10, 100, 1000])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_ylim(-12, 2000)
    axes.set_xticks(np.linspace(0.1, 0.9, 9))
    axes.set_xlabel("drop rate")
    axes.set_ylabel("error of the variance")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure
