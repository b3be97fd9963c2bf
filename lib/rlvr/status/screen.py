"""The command `python -m rlvr status`: a bar over all jobs, those at work, and what has failed."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rlvr.errors import UserError
from rlvr.status.progress import QUIET_SECONDS, JobProgress, job_progress, tail
from rlvr.status.workflow import WorkflowRun, last_log, project_of, read_log

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

REFRESH_SECONDS = 2.0


@dataclass(frozen=True)
class StudyStatus:
    """A study, the last start of its workflow (None if there is no log of one), and its jobs.

    `age`: seconds since the workflow, or a job that it runs, last wrote.
    """

    study: Path
    run: WorkflowRun | None
    jobs: tuple[JobProgress, ...]
    age: float


def studies_of(results: str | Path) -> list[Path]:
    """`results/{name}`, or all of `results`; UserError if there is none."""
    root = Path(results)
    found = [root] if (root / "logs").is_dir() else sorted(path.parent for path in root.glob("*/logs"))
    if not found:
        raise UserError(
            f"{results}: no study has begun there; name a folder results/{{name}}, or one of such"
        )
    return found


def read_status(study: Path) -> StudyStatus:
    """The status of one study now."""
    log = last_log(study)
    run = read_log(log) if log else None
    jobs = tuple(job_progress(study, run))
    ages = [job.age for job in jobs if job.state == "running" and job.age is not None]
    ages += [time.time() - log.stat().st_mtime] if log else []
    return StudyStatus(study, run, jobs, min(ages, default=0.0))


def headline(status: StudyStatus, now: datetime) -> str:
    """Jobs done of all, in which state the workflow is, and the time left."""
    run = status.run
    if run is None:
        done = sum(job.state == "done" for job in status.jobs)
        told = f"{done} of {len(status.jobs)} jobs that told of their progress are done"
        return f"{told}; Snakemake has written no log, as with --quiet all"
    failed = len(run.in_state("failed"))
    text = f"{run.done} of {run.total} jobs of the last start done"
    text += f", {failed} failed" if failed else ""
    if run.ended:
        return text + (
            "" if run.done == run.total else "; it has ended, and the same command goes on from here"
        )
    if status.age > QUIET_SECONDS:
        return f"{text}; no news for {_duration(status.age)}: jobs wait, or Snakemake has died"
    left = run.seconds_left(now)
    return text + (f"; about {_duration(left)} left" if left is not None else "; time left not known yet")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def failures(status: StudyStatus) -> list[str]:
    """Each failed job with the last line of its log, and where that is."""
    lines = []
    for job in status.run.in_state("failed") if status.run else []:
        name = f"{job.rule} {job.wildcards}".strip()
        log = project_of(status.study) / job.log
        said = next((line for line in reversed(tail(log)) if line.strip()), "") if log.is_file() else ""
        lines.append(f"failed: {name}: {said or 'without a word'} ({job.log or 'no log'})")
    return lines


def _rules_table(run: WorkflowRun) -> "Table":
    from rich.table import Table

    counts = {
        state: Counter(job.rule for job in run.in_state(state)) for state in ("done", "running", "failed")
    }
    table = Table("rule", *counts, "of")
    for rule, planned in run.planned.items():
        table.add_row(rule, *(str(count[rule] or "") for count in counts.values()), str(planned))
    return table


def _jobs_table(jobs: Sequence[JobProgress]) -> "Table":
    from rich.table import Table

    table = Table()
    for column in ("job", "state", "step", "progress", "last news"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        news = f"{_duration(job.age)} ago" if job.age is not None else ""
        table.add_row(job.job, job.state, job.step, job.details, news)
    return table


def screen(results: str | Path, everything: bool) -> "Group":
    """All studies of a folder of results; `everything`: jobs that are done too."""
    from rich.console import Group, RenderableType
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    parts: list[RenderableType] = []
    for study in studies_of(results):
        status = read_status(study)
        parts.append(Text(f"{study}: {headline(status, datetime.now())}"))
        if status.run:
            bar = ProgressBar(total=max(status.run.total, 1), completed=status.run.done, width=80)
            parts.append(Padding(bar, 0))  # which ends its line
            parts.append(_rules_table(status.run))
        shown = [job for job in status.jobs if everything or job.state in ("running", "quiet")]
        if shown:
            parts.append(_jobs_table(shown))
        parts += [Text(line) for line in failures(status)]
    return Group(*parts)


def run(options: argparse.Namespace) -> int:
    """Print the status once, or keep it up to date until interrupted; the exit status."""
    from rich.console import Console
    from rich.live import Live

    try:
        shown = screen(options.results, options.all)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if not options.follow:
        Console().print(shown)
        return 0
    with Live(shown) as live:
        try:
            while True:
                time.sleep(REFRESH_SECONDS)
                live.update(screen(options.results, options.all))
        except KeyboardInterrupt:
            return 0
