"""Mean and standard deviation of the rewards of single prompts, epoch by epoch, as a tracker held them.

`python -m rlvr.figures.prompt_statistics LOGDIR` draws those of a folder that `python -m rlvr advantage
--logdir` or the study has written.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from rlvr.advantage_study.log import Statistics, read_statistics
from rlvr.errors import UserError
from rlvr.figures.style import arm_legend, arm_looks, new_figure, style
from rlvr.files import atomic_path

COLUMNS = 3
ROW_HEIGHT = 1.7  # inches
WHOLE_BATCH = "the whole batch"
LINEAR = 10.0  # the axis of rewards is linear up to this distance from 0, and logarithmic beyond
MOST_POINTS = 250  # of a curve: more would not be seen
FORMATS = ("svg", "pdf", "png")


def load_statistics(path: str | Path) -> Statistics:
    """Read a statistics.npz; UserError says what is wrong with it."""
    try:
        return read_statistics(path)
    except FileNotFoundError as error:
        hint = "`python -m rlvr advantage --logdir FOLDER` writes one"
        raise UserError(f"{path}: no such file; {hint}") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except UserError:
        raise
    except (BadZipFile, EOFError, TypeError, ValueError) as error:  # as numpy says that it is no npz
        raise UserError(f"{path}: this is no npz file of prompt statistics") from error


def seed_place(statistics: Statistics, seed: int | None, path: str | Path) -> int:
    """Where a seed stands in the arrays, the first if it is None; UserError if it has no statistics."""
    seeds = statistics.seed.tolist()
    if seed is None:
        return 0
    if seed not in seeds:
        raise UserError(f"{path}: no seed {seed}; it has {', '.join(map(str, seeds))}")
    return seeds.index(seed)


def first_prompts(statistics: Statistics, place: int, count: int) -> list[str]:
    """The first `count` prompts that were drawn in a seed; all if there are fewer."""
    return statistics.prompt[place, :count].tolist()


def draw_prompts(series: Mapping[str, tuple[Statistics, int]], prompts: Sequence[str]) -> Figure:
    """A panel a prompt, with a line and a band for each of `series`: statistics and the place of the seed."""
    columns = min(COLUMNS, len(prompts))
    rows = -(-len(prompts) // columns)
    figure, looks = new_figure(0.6 + ROW_HEIGHT * max(rows, 1.4)), arm_looks(list(series))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, prompt in zip(panels.flat, prompts, strict=False):
        for name, (statistics, place) in series.items():
            _draw_prompt(axes, statistics, place, prompt, looks[name])
        axes.set_title(prompt or WHOLE_BATCH, fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    for unused in panels.flat[len(prompts) :]:
        unused.set_axis_off()
    _reward_axis(panels[0, 0])
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("reward, mean ± standard deviation", fontsize=9)
    arm_legend(figure, looks, lines=True)
    return figure


def _reward_axis(axes: Axes) -> None:
    """Rewards as they are near 0, and by their logarithm far from it: spread is to be seen at both."""
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=1.2)
    low, high = axes.get_ylim()
    ticks = [tick for tick in (*(-factor * LINEAR for factor in (100, 30, 10, 3, 1, 0.5)), 0) if tick >= low]
    axes.yaxis.set_major_locator(FixedLocator([*ticks, *([LINEAR] if high >= LINEAR else [])]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def _draw_prompt(
    axes: Axes, statistics: Statistics, place: int, prompt: str, look: Mapping[str, Any]
) -> None:
    found = np.flatnonzero(statistics.prompt[place] == prompt)
    if not len(found):
        return
    step = -(-len(statistics.epoch) // MOST_POINTS)
    epochs = statistics.epoch[::step]
    mean, std = (
        values[place, ::step, found[0]].astype(float) for values in (statistics.mean, statistics.std)
    )
    color = look["color"]
    axes.fill_between(epochs, mean - std, mean + std, color=color, alpha=0.25, linewidth=0)
    axes.plot(epochs, mean, color=color, linestyle=look["linestyle"], linewidth=1.1)


def draw_file(logdir: str | Path, output: str | Path | None, prompts: int, seed: int | None) -> Path:
    """Draw `prompts` prompts of LOGDIR/statistics.npz, by default as prompt_statistics.svg there; the file.

    UserError if there is no such file, it is another kind of file, or it has not the seed.
    """
    path = Path(logdir) / "statistics.npz"
    output = Path(output) if output else Path(logdir) / "prompt_statistics.svg"
    suffix = output.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise UserError(f"--output {output}: allowed are names that end in .{', .'.join(FORMATS)}")
    statistics = load_statistics(path)
    place = seed_place(statistics, seed, path)
    label = f"seed {statistics.seed[place]}"
    with style():
        figure = draw_prompts({label: (statistics, place)}, first_prompts(statistics, place, prompts))
        with atomic_path(output) as temporary:
            figure.savefig(temporary, format=suffix, dpi=160)
    return output


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: allowed is a whole number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m rlvr.figures.prompt_statistics",
        description="Draw the mean and standard deviation of the rewards of single prompts over the epochs.",
    )
    parser.add_argument("logdir", metavar="LOGDIR", help="folder with a statistics.npz")
    help_text = f"file to write, .{', .'.join(FORMATS)} (default: LOGDIR/prompt_statistics.svg)"
    parser.add_argument("--output", metavar="FILE", help=help_text)
    parser.add_argument(
        "--prompts", metavar="N", type=_at_least_one, default=6, help="at most so many (default: 6)"
    )
    parser.add_argument("--seed", metavar="S", type=int, help="default: the first of the file")
    options = parser.parse_args(arguments)
    try:
        path = draw_file(options.logdir, options.output, options.prompts, options.seed)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
