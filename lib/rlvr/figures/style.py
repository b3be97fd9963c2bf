"""How every figure looks and is written: legible in print and by the colour-blind, equal byte for byte."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import RcKeyType

from rlvr.files import atomic_path

FULL_WIDTH = 7.2  # inches: two columns of a paper
ONE_ROW = 5  # arms that a legend has in one row
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)))
SETTINGS: dict[RcKeyType, Any] = {
    "font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5, "font.family": "DejaVu Sans", "axes.edgecolor": "0.3", "grid.color": "0.88",
    "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "rlvr",
    "pdf.fonttype": 42,
}  # fmt: skip


@contextmanager
def style() -> Iterator[None]:
    """The settings of all figures, for the time of drawing and saving."""
    with mpl.rc_context(), sns.axes_style("whitegrid"):
        mpl.rcParams.update(SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of full width, `height` in inches, that keeps its parts from overlapping."""
    return Figure(figsize=(FULL_WIDTH, height), layout="constrained")


def arm_looks(arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style by arm; arms stay apart without colour up to eight, with it up to 64."""
    colours = sns.color_palette("colorblind", len(MARKERS))
    # Each further eight have the same colours with the next one's marker and line.
    return {
        arm: {"color": colours[i % 8], "marker": MARKERS[shape % 8], "linestyle": LINES[shape % 8]}
        for i, arm in enumerate(arms)
        for shape in [i + i // 8]
    }


def arm_legend(figure: Figure, looks: Mapping[str, Mapping[str, Any]], lines: bool) -> None:
    """One legend for the whole figure, above its panels."""
    handles = [
        Line2D([], [], color=look["color"], label=arm, markersize=6, linewidth=1.8,
               marker="" if lines else look["marker"], linestyle=look["linestyle"] if lines else "")
        for arm, look in looks.items()
    ]  # fmt: skip
    columns = len(handles) if len(handles) <= ONE_ROW else 4
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)


def dodge(index: int, count: int, width: float = 0.72) -> float:
    """Offset from a category's centre of the index-th of `count` arms."""
    return (index + 0.5) * width / count - width / 2


def say(axes: Axes, text: str) -> None:
    """A sentence in place of a plot that has nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", wrap=True)
    axes.set_axis_off()


@dataclass(frozen=True)
class Drawing:
    """What draws a figure, and the numbers in it, as they are before it smooths or averages them."""

    draw: Callable[[], Figure]
    data: pd.DataFrame


def save_all(drawings: Mapping[str, Drawing], folder: str | Path) -> None:
    """Write `{name}.svg`, `{name}.pdf` and `{name}.csv` of every drawing by name."""
    with style():
        for name, drawing in drawings.items():
            save(drawing.draw(), folder, name)
            with atomic_path(Path(folder) / f"{name}.csv") as temporary:
                drawing.data.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")


def save(figure: Figure, folder: str | Path, name: str) -> None:
    """Write `{name}.svg` and `{name}.pdf`; no date inside, so that the same figure is the same bytes.

    The layout is found once for both: `savefig` would find it anew, and draw everything twice, for each.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    with atomic_path(Path(folder) / f"{name}.svg") as temporary:
        FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})
    with atomic_path(Path(folder) / f"{name}.pdf") as temporary:
        FigureCanvasPdf(figure).print_pdf(temporary, metadata={"CreationDate": None, "ModDate": None})
