"""What tests ask a SLURM cluster, and do to its jobs."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import psutil
from project_copy import Project

T = TypeVar("T")
HANG_SECONDS = 240.0  # only against a hang


@dataclass(frozen=True)
class SlurmJob:
    """A job of a workflow. `rule`: rule or group, with its wildcards."""

    id: str
    state: str
    rule: str


@dataclass
class Workflow:
    """Snakemake at work in `folder`, in its own process; what it says goes to `log`."""

    folder: Path
    process: subprocess.Popen
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, what: str, look: Callable[[], T]) -> T:
        """The first answer of `look` that is true, while this workflow runs."""
        deadline = time.monotonic() + HANG_SECONDS
        while not (found := look()):
            assert self.process.poll() is None, f"Snakemake ended before: {what}\n{self.said()[-6000:]}"
            assert time.monotonic() < deadline, f"never seen: {what}\n{self.said()[-6000:]}"
            time.sleep(0.2)
        return found

    def end(self) -> str:
        """Wait for its end, which must be a success; what it said."""
        assert self.process.wait(timeout=2 * HANG_SECONDS) == 0, self.said()[-6000:]
        return self.said()


def start(project: Project, output: IO[str], *arguments: str) -> Workflow:
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    return Workflow(project.folder, process, Path(output.name))


def slurm(*command: str) -> str:
    """Output of a SLURM command; it must succeed."""
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, f"{' '.join(command)}: {run.stderr}"
    return run.stdout.strip()


def jobs(rule: str = "", states: str = "all") -> list[SlurmJob]:
    """The jobs of workflows that SLURM remembers, oldest first; those whose rule and wildcards start so."""
    lines = slurm("squeue", "-h", "-S", "i", f"--states={states}", "-o", "%i|%T|%k").splitlines()
    found = [SlurmJob(*line.split("|", 2)) for line in lines if "|rule_" in line]
    return [job for job in found if job.rule.startswith(f"rule_{rule}")]


def wait_until_ended(job: SlurmJob) -> None:
    """Wait for a job that no workflow looks at."""
    deadline = time.monotonic() + HANG_SECONDS
    while job.id in {one.id for one in jobs(states="PENDING,RUNNING,COMPLETING")}:
        assert time.monotonic() < deadline, f"SLURM job {job.id} does not end"
        time.sleep(0.2)


def fact(job: SlurmJob, name: str) -> str:
    """A field of `scontrol show job`."""
    return re.search(rf"\b{name}=(\S+)", slurm("scontrol", "show", "job", job.id))[1]


def lose_the_node() -> None:
    """Declare the node of the cluster down, and have it back."""
    node = slurm("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N")
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    deadline = time.monotonic() + HANG_SECONDS
    while slurm("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").startswith("down"):
        assert time.monotonic() < deadline
        # An error if it has come back by itself meanwhile.
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=False)
        time.sleep(0.5)


def work_of(job: SlurmJob, script: str) -> list[psutil.Process]:
    """The processes of a job that run a rule's script."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            if script in " ".join(process.info["cmdline"] or []):
                found += [process] if process.environ().get("SLURM_JOB_ID") == job.id else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
