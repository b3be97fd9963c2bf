"""The progress of all training jobs of a results folder, read from their logs."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

PROGRESS = re.compile(r"\bstep (?P<step>\d+)/(?P<total>\d+)\s+(?P<details>.*)")
QUIET_SECONDS = 600.0
TAIL_BYTES = 4096


@dataclass(frozen=True)
class JobStatus:
    """Where a training job stands; `age` is the time in seconds since it last wrote to its log."""

    job: str
    step: int
    total: int
    details: str
    age: float

    @property
    def state(self) -> str:
        """running, trained (its last step is done), or quiet (unfinished, and no news for ten minutes)."""
        if self.step == self.total:
            return "trained"
        return "running" if self.age < QUIET_SECONDS else "quiet"


def _last_progress(log: Path) -> re.Match[str] | None:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    matches = (PROGRESS.search(line) for line in reversed(lines))
    return next((match for match in matches if match), None)


def read_status(results: str | Path) -> Iterator[JobStatus]:
    """Status of every training job with a progress line, over all configs under `results`."""
    root = Path(results)
    for log in sorted(
        [*root.glob("*/logs/train_policy/**/*.log"), *root.glob("*/logs/train_base_policy.log")]
    ):
        progress = _last_progress(log)
        if progress:
            yield JobStatus(
                job=str(log.relative_to(root).with_suffix("")).replace("/logs/", "/"),
                step=int(progress["step"]),
                total=int(progress["total"]),
                details=progress["details"],
                age=time.time() - log.stat().st_mtime,
            )


def status_table(results: str | Path, everything: bool) -> "Table":
    """A table of the unfinished jobs, or of all of them."""
    from rich.table import Table

    jobs = list(read_status(results))
    finished = sum(job.state == "trained" for job in jobs)
    table = Table(
        title=f"{results}: {finished} of {len(jobs)} started training jobs have done their last step"
    )
    for column in ("job", "step", "state", "progress"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        if everything or job.state != "trained":
            state = job.state if job.state != "quiet" else f"no news for {job.age / 60:.0f} min"
            table.add_row(job.job, f"{job.step}/{job.total}", state, job.details)
    return table


def show_status(results: str | Path, follow: bool, everything: bool) -> None:
    """Print the table once, or keep it up to date until interrupted."""
    from rich.console import Console
    from rich.live import Live

    if not follow:
        table = status_table(results, everything)
        Console().print(table if table.rows else table.title)
        return
    with Live(status_table(results, everything), refresh_per_second=2) as live:
        try:
            while True:
                time.sleep(1.0)
                live.update(status_table(results, everything))
        except KeyboardInterrupt:
            return
