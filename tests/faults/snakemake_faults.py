"""Faults of Snakemake itself, in a workflow of one rule: that of the trials' job."""

import os
import random
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil
from fault_bed import LIMIT_S, BadEnd, Bed, Run, TooLate, Trial, draw_moment, outputs, resumed
from fault_job import Order
from fault_kinds import Fault
from fault_mounts import read_only

from rlvr.files import write_json

WORKFLOW = Path(__file__).with_name("one_job.smk")
LIBRARY = Path(__file__).parents[2] / "lib"


class Command:
    """A command that was started, with the methods of a process of `multiprocessing` that a Run needs."""

    def __init__(self, arguments: list[str], log: Path):
        environment = os.environ | {"PYTHONPATH": str(LIBRARY), "NO_COLOR": "1"}
        with log.open("w") as output:
            self._popen = subprocess.Popen(arguments, stdout=output, stderr=output, env=environment)
        self.pid = self._popen.pid

    @property
    def exitcode(self) -> int | None:
        return self._popen.poll()

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, timeout: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)

    def kill(self) -> None:
        self._popen.kill()


def new_order(bed: Bed) -> Order:
    """The job of a new place, with the config of its workflow."""
    order = bed.order(bed.new_folder().name)
    record = {"base": order.files.base, "problems": order.files.problems, "job": asdict(order.job)}
    write_json(Path(order.log).with_name("job.json"), record)
    return order


def snakemake(bed: Bed, order: Order, name: str, *arguments: str) -> Run:
    """Start Snakemake where the job's place is; the log of the run is what Snakemake says."""
    folder = outputs(order).parent
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(WORKFLOW), "--directory", str(folder)]
    log = folder / f"{name}.said"
    process = Command([*command, "--cores", "1", "--rerun-incomplete", *arguments], log)
    return bed.watch(Run(process, replace(order, log=str(log))))


def kill_snakemake(bed: Bed, chance: random.Random) -> Trial:
    order, moment = new_order(bed), draw_moment(chance, first_step=1)
    job_lives = chance.random() < 0.5
    run = snakemake(bed, order, "killed")
    bed.wait_for(run, moment)
    jobs = _training_jobs(run)
    for process in [run.process, *([] if job_lives else jobs)]:
        process.kill()
    run.process.join(LIMIT_S)
    psutil.wait_procs(jobs, LIMIT_S)
    if snakemake(bed, order, "unlock", "--unlock").end() != 0:
        raise BadEnd("it could not be unlocked")
    again = snakemake(bed, order, "again")
    bed.demand_success(again)
    what = "its job lives on" if job_lives else "and of its job"
    return Trial(f"{moment}, {what}", "same hashes", resumed(Run(again.process, order)))


def end_snakemake(bed: Bed, chance: random.Random) -> Trial:
    order, moment = new_order(bed), draw_moment(chance, first_step=1)
    to_its_job = chance.random() < 0.5
    run = snakemake(bed, order, "ended")
    bed.wait_for(run, moment)
    for process in [psutil.Process(run.process.pid), *(_training_jobs(run) if to_its_job else [])]:
        process.terminate()
    code = run.end()
    again = snakemake(bed, order, "again")
    bed.demand_success(again)
    what = "its job too" if to_its_job else "alone"
    said = resumed(Run(again.process, order)) if to_its_job else f"status {code} when its job was done"
    return Trial(f"{moment}, {what}", "same hashes", said)


def _training_jobs(run: Run) -> list[psutil.Process]:
    """The job that a Snakemake has started; TooLate if it has ended."""
    try:
        children = psutil.Process(run.process.pid).children(recursive=True)
        jobs = [child for child in children if re.search(r"train_policy\.py", " ".join(child.cmdline()))]
    except psutil.NoSuchProcess:
        raise TooLate from None
    if not jobs:
        raise TooLate
    return jobs


def start_second_snakemake(bed: Bed, chance: random.Random) -> Trial:
    order, delay = new_order(bed), chance.uniform(0, bed.pace.start)
    first = snakemake(bed, order, "first")
    # From then on; the second takes as long to start as the first job does.
    while not list(outputs(order).parent.glob(".snakemake/locks/*")):
        if first.ended():
            raise TooLate
        time.sleep(0.001)
    time.sleep(delay)
    second = snakemake(bed, order, "second")
    code = second.end()
    bed.demand_success(first)
    if code == 0 and "Nothing to be done" in second.log():
        raise TooLate
    said = second.demand("cannot be locked")
    return Trial(f"lock of the first + {delay:.2f} s", "clear error, then same hashes", said)


def read_only_results(bed: Bed, chance: random.Random) -> Trial:
    order, moment = new_order(bed), draw_moment(chance, first_step=1)
    run = snakemake(bed, order, "disturbed")
    bed.wait_for(run, moment)
    with read_only(outputs(order)):
        if run.end() == 0:
            raise TooLate
    said = Run(run.process, order).demand("Error: .*Read-only file system")
    again = snakemake(bed, order, "again")
    bed.demand_success(again)
    return Trial(str(moment), "clear error, then same hashes", said)


SNAKEMAKE_FAULTS = (
    Fault(
        "`kill -9` of Snakemake, with its job or without",
        "after `snakemake --unlock` the same command goes on, or writes what the job has come to",
        kill_snakemake,
    ),
    Fault(
        "SIGTERM to Snakemake, with its job or without",
        "it starts no more jobs and ends with those that run; the same command goes on",
        end_snakemake,
    ),
    Fault(
        "two Snakemakes on one directory",
        "the second stops with an error, the first goes on",
        start_second_snakemake,
    ),
    Fault(
        "results turn read-only under Snakemake",
        "the job fails; when they are writable the same command goes on",
        read_only_results,
        needs_mounts=True,
    ),
)
