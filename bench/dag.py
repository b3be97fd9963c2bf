"""Dry run of a study with ten thousand evaluations beside a bare workflow with as many jobs.

    python bench/dag.py [--modes 20] [--seeds 50] [--suites 10] [--pairs 5]

Both have the same rules, jobs, dependencies and numbers of input and output files per rule; the bare one has
nothing else: no params, no functions. They run in turn with `snakemake -n --quiet rules`. Prints wall and CPU
seconds (user + system, of the child) and peak memory of each pair, their ratios, and the medians of these.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
# Small on purpose: what training costs is not measured here.
FAMILIES = ("add", "sub", "max", "rev", "sort", "rot")


@dataclass(frozen=True)
class Size:
    """Of the study: modes × seeds runs, each evaluated on every suite."""

    modes: int
    seeds: int
    suites: int


@dataclass(frozen=True)
class Measured:
    """Of one dry run: seconds on the clock and of CPU, peak memory in MiB."""

    wall: float
    cpu: float
    memory: float


def study_config(size: Size) -> dict:
    """The default config with custom modes beside fp32, and a suite of its own for each task."""
    custom = {f"noise{n}": {"gradient_noise": n / 1024} for n in range(1, size.modes)}
    tasks = [f"task{n}" for n in range(size.suites)]
    evaluation = {
        task: {
            "source": {"kind": "synthetic", "family": FAMILIES[n % len(FAMILIES)], "split": "held_out"},
            "template": "plain",
            "verifier": "exact",
        }
        for n, task in enumerate(tasks)
    }
    settings = {"rows": 8, "samples": 2, "max_tokens": 6, "pass_at": [1]}
    return {
        "name": "bench",
        "data": {"evaluation": evaluation},
        "precision": {
            "modes": ["fp32", *custom],
            "custom_modes": custom,
            "seeds": size.seeds,
            "evaluation": {
                "on_task": tasks[0],
                "suites": {f"suite_{task}": [task] for task in tasks},
                "tasks": dict.fromkeys(tasks, settings),
            },
        },
    }


def dry_run(arguments: list[str], folder: Path) -> Measured:
    """Plan in `folder`; the output, megabytes of file names, goes to `dry-run.log` there."""
    command = [sys.executable, "-m", "snakemake", "-n", *arguments, "--quiet", "rules"]
    with (folder / "dry-run.log").open("wb") as output:
        started = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(Path(output.name).read_text()[-4_000:] + f"error: {' '.join(command)} failed")
    return Measured(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def jobs_planned(folder: Path) -> int:
    """The total under "Job stats" of the last dry run."""
    return int(re.search(r"^total +(\d+)$", (folder / "dry-run.log").read_text(), re.MULTILINE)[1])


def measure(size: Size, pairs: int, folder: Path) -> list[tuple[Measured, Measured]]:
    """(study, bare) of each pair; which goes first alternates."""
    (folder / "study.yaml").write_text(json.dumps(study_config(size)))  # JSON is YAML
    study = ["precision", "-s", str(ROOT / "Snakefile"), "--configfile", "study.yaml"]
    bare = ["-s", str(ROOT / "bench/bare.smk"), "--config"]
    bare += [f"{key}={value}" for key, value in asdict(size).items()]
    measured, planned = [], set()
    for number in range(pairs):
        found = {}
        for name, arguments in [("study", study), ("bare", bare)][:: 1 if number % 2 else -1]:
            found[name] = dry_run(arguments, folder)
            planned.add(jobs_planned(folder))
        if len(planned) != 1:
            sys.exit(f"error: the two workflows have different numbers of jobs: {sorted(planned)}")
        measured.append((found["study"], found["bare"]))
        print(f"pair {number + 1}: " + words(*measured[-1]), flush=True)
    print(f"{planned.pop()} jobs each")
    return measured


def words(study: Measured, bare: Measured) -> str:
    return (
        f"study {study.cpu:.1f} s CPU, {study.wall:.1f} s wall, {study.memory:.0f} MiB; "
        f"bare {bare.cpu:.1f} s, {bare.wall:.1f} s, {bare.memory:.0f} MiB; "
        f"ratio {study.cpu / bare.cpu:.2f} CPU, {study.wall / bare.wall:.2f} wall, "
        f"{study.memory / bare.memory:.2f} memory"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--modes", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--suites", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = Size(arguments.modes, arguments.seeds, arguments.suites)
        measured = measure(size, arguments.pairs, Path(folder))
    for what in ("cpu", "wall", "memory"):
        ratios = sorted(getattr(study, what) / getattr(bare, what) for study, bare in measured)
        print(f"{what}: median ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
