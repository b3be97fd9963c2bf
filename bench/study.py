"""Where the wall time and the memory of a study go: runs it under a name of its own and adds up its parts.

    python bench/study.py [--study precision] [--cores 2] [--configfile config.yaml]   # leaves results/bench/

Prints the wall time; for the precision study seconds per training step and rollouts per second by mode; what
the cores did, with the share of Snakemake's start and of interpreters that start and import; and for each
rule the seconds of its jobs, and its peak memory beside the `mem_mb` that it declares. Ends with exit status
1 where a rule takes more than that. Interpreter starts are measured afterwards: the imports of each rule's
script, by themselves.
"""

import argparse
import ast
import csv
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rlvr.config.load import load_config
from rlvr.evaluation.records import SuiteResult
from rlvr.files import read_json

RESULTS = Path("results/bench")
RULE = re.compile(r"^rule (\w+):(?:\n(?!\S).*)*?\n    script:\n +\"\.\./(.+)\"", re.MULTILINE)
COPIED_RULE = re.compile(r"^use rule (\w+) as (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One finished job: wall seconds, threads, peak memory and declared memory in MB."""

    rule: str
    seconds: float
    threads: int
    peak_mb: float
    declared_mb: int


def study_command(study: str, cores: int, configfile: str) -> list[str]:
    command = ["snakemake", study, "--cores", str(cores), "--quiet", "all", "--benchmark-extended"]
    return [*command, "--configfile", configfile, "--config", "name=bench"]


def run_study(command: list[str]) -> tuple[float, float]:
    """Wall seconds of Snakemake's start, as of a dry run, and of the whole study from nothing."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    seconds = []
    for arguments in ([*command, "--dry-run"], command):
        started = time.perf_counter()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1]


def finished_jobs() -> list[Job]:
    """Every job, from Snakemake's benchmark files."""
    jobs = []
    for path in (RESULTS / "benchmarks").rglob("*.tsv"):
        with path.open() as file:
            for row in csv.DictReader(file, delimiter="\t"):
                declared = ast.literal_eval(row["resources"])["mem_mb"]
                # A job that ends at once is not looked at: "NA".
                peak = float(row["max_rss"].replace("NA", "nan"))
                jobs.append(Job(row["rule_name"], float(row["s"]), int(row["threads"]), peak, declared))
    return jobs


def scripts() -> dict[str, Path]:
    """The script of each rule."""
    text = "\n".join(path.read_text() for path in sorted(Path("rules").glob("*.smk")))
    found = {rule: Path(script) for rule, script in RULE.findall(text)}
    return found | {copy: found[rule] for rule, copy in COPIED_RULE.findall(text)}


def import_seconds(script: Path) -> float:
    """CPU seconds of an interpreter that starts, imports what a script imports, and ends; the least of three.

    It ends as jobs do: every script calls `log_to`.
    """
    imports = [
        line for line in ast.parse(script.read_text()).body if isinstance(line, ast.Import | ast.ImportFrom)
    ]
    quick = "from rlvr.quick_exit import skip_final_collection; skip_final_collection()"
    code = "\n".join([quick, *map(ast.unparse, imports)])

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


def steps_by_mode() -> dict[str, list[dict[str, str]]]:
    """The rows of every run's metrics.csv, by mode."""
    rows = defaultdict(list)
    for path in sorted((RESULTS / "precision/train").glob("*/seed*/rep*/metrics.csv")):
        with path.open() as file:
            rows[path.parts[-4]] += list(csv.DictReader(file))
    return dict(rows)


def useful_seconds(configfile: str) -> dict[str, float]:
    """Core seconds inside training loops and evaluations, by what they did."""
    with (RESULTS / "base/metrics.csv").open() as file:
        base = [float(row["seconds"]) for row in csv.DictReader(file)][-1]
    threads = load_config(configfile)["base"].get("compute_threads", 1)
    runs = (RESULTS / "precision/train").glob("*/seed*/rep*/provenance.json")
    evaluations = (RESULTS / "precision/eval").rglob("*.json")
    return {
        f"base training, {threads} threads": base * threads,
        "policy training": sum(read_json(path)["seconds"] for path in runs),
        "evaluation": sum(sum(SuiteResult.read(path).seconds.values()) for path in evaluations),
    }


def show_training(configfile: str) -> None:
    """Steps and useful seconds of the precision study."""
    for mode, rows in steps_by_mode().items():
        phases = ("step", "rollout", "verify", "log_probs", "update")
        parts = {phase: median(float(row[f"seconds_{phase}"]) for row in rows) for phase in phases}
        rate = median(float(row["rollouts_per_second"]) for row in rows)
        timed = "  ".join(f"{phase} {1000 * value:.1f} ms" for phase, value in parts.items())
        print(f"{mode}: {timed}  {rate:.0f} rollouts/s over the whole step")
    print()
    for name, seconds in useful_seconds(configfile).items():
        print(f"{name}: {seconds:.1f} s")
    print()


def show_cores(start: float, wall: float, cores: int, jobs: list[Job]) -> None:
    """What the cores did; all of them wait while Snakemake starts."""
    total, script_of = wall * cores, scripts()
    seconds_of = {script: import_seconds(script) for script in {script_of[job.rule] for job in jobs}}
    starting, importing = start * cores, sum(seconds_of[script_of[job.rule]] for job in jobs)
    in_jobs = sum(job.seconds * job.threads for job in jobs)
    parts = {
        "Snakemake's start": starting,
        f"starts and imports of {len(jobs)} interpreters": importing,
        "the rest of the jobs": in_jobs - importing,
        "idle, and Snakemake beside the jobs": total - in_jobs - starting,
    }
    for name, seconds in parts.items():
        print(f"{name}: {seconds:.1f} core seconds, {seconds / total:.1%}")
    print(f"overhead (the first two): {(starting + importing) / total:.1%} of {total:.1f} core seconds\n")


def show_rules(jobs: list[Job]) -> bool:
    """Seconds and memory by rule; whether each keeps within its declared memory."""
    by_rule = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    sound = True
    for rule, of_rule in sorted(by_rule.items(), key=lambda item: -sum(job.seconds for job in item[1])):
        peak, declared = max(job.peak_mb for job in of_rule), min(job.declared_mb for job in of_rule)
        sound &= not peak > declared
        seconds = sum(job.seconds for job in of_rule)
        print(f"{rule}: {len(of_rule)} jobs, {seconds:.1f} s, peak {peak:.0f} of {declared} MB")
    return sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", default="precision", help="precision, alignment, advantage, repair or all")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--configfile", default="config.yaml")
    options = parser.parse_args()
    start, wall = run_study(study_command(options.study, options.cores, options.configfile))
    print(f"wall {wall:.1f} s on {options.cores} cores\n")
    if options.study in ("precision", "all"):
        show_training(options.configfile)
    jobs = finished_jobs()
    show_cores(start, wall, options.cores, jobs)
    if not show_rules(jobs):
        sys.exit("error: a rule takes more memory than it declares")


if __name__ == "__main__":
    main()
