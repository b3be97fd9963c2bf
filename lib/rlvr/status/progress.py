"""How far single jobs are, read from the logs that they write themselves."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlvr.status.workflow import WorkflowRun, project_of

_STEP = re.compile(r"\bstep (?P<step>\d+)/(?P<total>\d+)\s+(?P<details>.*)")
_SEED = re.compile(r"\bseed (?P<seed>\d+) of (?P<seeds>\d+)$")
_SCORE = re.compile(r"\d (?P<task>[\w-]+): accuracy (?P<accuracy>[\d.]+) of ")
QUIET_SECONDS = 600.0
TAIL_BYTES = 32768


@dataclass(frozen=True)
class JobProgress:
    """One job. `state`: running, done, failed or stopped; quiet is one that may have died.

    `step` is empty where the job has none, `details` is its newest measure; `age` is the time in seconds
    since it last wrote, None before its log exists.
    """

    job: str
    state: str
    step: str
    details: str
    age: float | None


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()


def _last(pattern: re.Pattern[str], lines: list[str]) -> re.Match[str] | None:
    matches = (pattern.search(line) for line in reversed(lines))
    return next((match for match in matches if match), None)


def _read(log: Path) -> tuple[str, str]:
    """Step and details: reward or loss of a training, accuracies of an evaluation; empty if there is none."""
    lines = tail(log)
    step, seed = _last(_STEP, lines), _last(_SEED, lines)
    scores = [f"{score['task']} {score['accuracy']}" for score in map(_SCORE.search, lines) if score]
    details = [f"seed {seed['seed']}/{seed['seeds']}"] if seed else []
    details += [step["details"]] if step else [f"accuracy {', '.join(scores)}"] if scores else []
    return f"{step['step']}/{step['total']}" if step else "", ", ".join(details)


def _unwatched(log: Path, benchmark: Path, age: float) -> str:
    """The state of a job without a log of the workflow: the benchmark of one that is done is written last."""
    if benchmark.is_file() and benchmark.stat().st_mtime >= log.stat().st_mtime:
        return "done"
    return "running" if age < QUIET_SECONDS else "quiet"


def job_progress(study: Path, run: WorkflowRun | None) -> Iterator[JobProgress]:
    """Every job of a study that has told of its progress, and every running one.

    `run` decides the state of its jobs; what is not in it was done by an earlier start.
    """
    project = project_of(study)
    jobs = {project / job.log: job for job in run.jobs if job.log} if run else {}
    logs = {*(study.absolute() / "logs").glob("**/*.log"), *jobs}
    for log in sorted(logs):
        name = str(log.relative_to(study.absolute() / "logs").with_suffix(""))
        job = jobs.get(log)
        state: str = job.state if job else "done"
        if run and run.ended and state == "running":
            state = "stopped"
        if not log.exists():
            yield JobProgress(name, state, "", "no log yet: in the queue, or starting", None)
            continue
        age = time.time() - log.stat().st_mtime
        step, details = _read(log)
        if run is None:
            state = _unwatched(log, study.absolute() / "benchmarks" / f"{name}.tsv", age)
        if step or details or (job and state == "running"):
            yield JobProgress(name, state, step, details, age)
