"""What the log of the workflow's last start says: its jobs, which are done or have failed, the time left.

Snakemake writes one log a start, in `.snakemake/log` beside `results`; dry runs write none.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

_LINE = re.compile(
    r"\s*\[(?P<clock>\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]$"
    r"|\s*(?:local)?(?:rule|checkpoint) (?P<rule>\w+):$"
    r"|\s*(?P<error>Error in rule \w+:|jobs:)$"  # the second is of a group of jobs
    r"|\s+(?P<key>jobid|log|wildcards): (?P<value>.+)$"
    r"|Finished jobid: (?P<finished>\d+)\b"
    r"|(?P<planned>\w+) +(?P<count>\d+)$"
    r"|(?P<done>\d+) of (?P<total>\d+) steps "
    r"|(?P<ended>Complete log)"
)
_CLOCK = "%a %b %d %H:%M:%S %Y"


@dataclass(frozen=True)
class Job:
    """One job of the workflow; `log` is relative to the folder that it runs in, "" for a job without one."""

    id: int
    rule: str
    started: datetime
    log: str = ""
    wildcards: str = ""
    ended: datetime | None = None
    state: Literal["running", "done", "failed"] = "running"

    def seconds(self, now: datetime) -> float:
        """How long it has run so far, or ran."""
        return ((self.ended or now) - self.started).total_seconds()


@dataclass(frozen=True)
class WorkflowRun:
    """One start of the workflow. `planned` counts its jobs by rule, without what earlier starts had done."""

    planned: Mapping[str, int]
    jobs: tuple[Job, ...]
    done: int
    ended: bool

    @property
    def total(self) -> int:
        """Jobs of this start."""
        return sum(self.planned.values())

    def in_state(self, state: str) -> list[Job]:
        """The jobs that are `running`, `done` or `failed` now; a retried job counts as it is now."""
        return [job for job in self.jobs if job.state == state]

    def seconds_left(self, now: datetime) -> float | None:
        """An estimate of the time that the rest takes at the pace so far; None before a first job is done.

        A job to come is as long as the mean of its rule's jobs so far (of all jobs, if there is none), and as
        many run side by side as did on average.
        """
        done = self.in_state("done")
        lengths: dict[str, list[float]] = {}
        for job in done:
            lengths.setdefault(job.rule, []).append(job.seconds(now))
        everything = [length for one in lengths.values() for length in one]
        if not everything:
            return None
        mean = {rule: sum(one) / len(one) for rule, one in lengths.items()}
        overall = sum(everything) / len(everything)
        begun = Counter(job.rule for job in self.jobs)
        to_come = sum(
            max(count - begun[rule], 0) * mean.get(rule, overall) for rule, count in self.planned.items()
        )
        running = self.in_state("running")
        rest = sum(max(mean.get(job.rule, overall) - job.seconds(now), 0.0) for job in running)
        busy = sum(job.seconds(now) for job in self.jobs)
        elapsed = (now - min(job.started for job in self.jobs)).total_seconds()
        side_by_side = max(busy / elapsed, 1.0) if elapsed else 1.0
        return (to_come + rest) / side_by_side


@dataclass
class _Reader:
    """The state of reading a log from top to bottom."""

    clock: datetime = datetime.min
    rule: str = ""
    log: str = ""
    current: int = -1
    in_error: bool = False
    planned: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    done: int = 0
    ended: bool = False

    def read(self, line: str) -> None:
        match = _LINE.match(line)
        if match is None:
            return
        kind = match.lastgroup
        if kind == "clock":
            self.clock, self.in_error = datetime.strptime(match["clock"], _CLOCK), False
        elif kind == "rule":
            self.rule, self.log = match["rule"], ""
        elif kind == "error":
            self.in_error = True
        elif kind == "value":
            self._property(match["key"], match["value"])
        elif kind == "finished":
            self._end(int(match["finished"]), "done")
        elif kind == "count" and match["planned"] != "total" and not self.jobs:
            self.planned[match["planned"]] = int(match["count"])
        elif kind == "total":
            self.done = int(match["done"])
        elif kind == "ended":
            self.ended = True

    def _property(self, key: str, value: str) -> None:
        if self.in_error:
            if key == "jobid":
                self._end(int(value), "failed")
        elif key == "log":
            self.log = value
        elif key == "jobid":
            self.current = int(value)
            self.jobs[self.current] = Job(self.current, self.rule, self.clock, self.log)
        elif self.current in self.jobs:
            self.jobs[self.current] = replace(self.jobs[self.current], wildcards=value)

    def _end(self, job: int, state: Literal["done", "failed"]) -> None:
        if job in self.jobs:
            self.jobs[job] = replace(self.jobs[job], ended=self.clock, state=state)


def read_run(lines: Iterable[str]) -> WorkflowRun:
    """The start of the workflow that a log tells of, as far as it has been written."""
    reader = _Reader()
    for line in lines:
        reader.read(line.rstrip("\n"))
    return WorkflowRun(reader.planned, tuple(reader.jobs.values()), reader.done, reader.ended)


def read_log(log: Path) -> WorkflowRun:
    """The start that a file tells of. Those of large studies have megabytes: unchanged ones are read once."""
    return _read_log(log, log.stat().st_size)


@lru_cache(maxsize=1)
def _read_log(log: Path, size: int) -> WorkflowRun:
    with log.open(encoding="utf-8", errors="replace") as file:
        return read_run(file)


def last_log(study: Path) -> Path | None:
    """The log of the last start that had jobs of the study in `results/{name}`; None if there is none."""
    own = f"{study.parent.name}/{study.name}/"
    for log in sorted((project_of(study) / ".snakemake" / "log").glob("*.snakemake.log"), reverse=True):
        with log.open(encoding="utf-8", errors="replace") as file:
            if any(own in line for line in file):
                return log
    return None


def project_of(study: Path) -> Path:
    """The folder that the workflow runs in, to which the paths of its log are relative."""
    return study.absolute().parents[1]
