"""The command `python -m rlvr advantage`: one run of the reference problem."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rlvr.advantage_study.log import MethodFiles, write_runs
from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.problem import REFERENCE_PROBLEM, run_problem
from rlvr.errors import UserError
from rlvr.folder_option import make_folder

EPS = 1e-7


def run(options: argparse.Namespace) -> int:
    """Run the command that the options name; the exit status."""
    try:
        _run(options)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.tracker == "buffer" and options.min_count > options.buffer_size:
        allowed = f"allowed is 1 to --buffer-size ({options.buffer_size})"
        raise UserError(f"argument --min-count: {options.min_count}: {allowed}")
    method = Method(options.tracker, options.buffer_size, options.min_count, options.decay, EPS)
    files = _log_files(options.logdir)
    problem = replace(REFERENCE_PROBLEM, epochs=options.epochs)
    with progress_bar(f"{options.tracker}, seed {options.seed}", options.epochs) as advance:
        outcome = run_problem(problem, method, options.seed, advance)
    if files:
        write_runs(files, [outcome])
        sys.stdout.write("".join(f"{path}\n" for path in vars(files).values()))
    sys.stdout.write(f"score {outcome.score}\n")


def _log_files(folder: str | None) -> MethodFiles | None:
    if folder is None:
        return None
    return MethodFiles.in_folder(make_folder("--logdir", folder))


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A function that takes the number of epochs done; None if standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda epochs: progress.update(task, completed=epochs)
