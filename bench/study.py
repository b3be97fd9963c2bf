"""Where the wall time of the precision study goes: runs it under a name of its own and adds up its parts.

    python bench/study.py [--cores 2] [--configfile config.yaml]      # minutes; leaves results/bench/

Prints the wall time, seconds per training step and rollouts per second by mode, and the share of the cores'
time that was neither training nor evaluation (interpreter starts, imports, Snakemake, analysis, idle).
"""

import argparse
import csv
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from rlvr.config.load import load_config
from rlvr.evaluation.records import SuiteResult
from rlvr.files import read_json

RESULTS = Path("results/bench")


def run_study(cores: int, configfile: str) -> float:
    """Wall seconds of the whole study from nothing."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    command = ["snakemake", "precision", "--cores", str(cores), "--quiet", "all"]
    command += ["--configfile", configfile, "--config", "name=bench"]
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def job_seconds() -> dict[str, float]:
    """Wall seconds of all jobs of each rule, from Snakemake's benchmark files."""
    seconds: dict[str, float] = defaultdict(float)
    for path in (RESULTS / "benchmarks").rglob("*.tsv"):
        rule = path.relative_to(RESULTS / "benchmarks").parts[0].removesuffix(".tsv")
        with path.open() as file:
            seconds[rule] += sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    return dict(seconds)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--configfile", default="config.yaml")
    options = parser.parse_args()
    wall = run_study(options.cores, options.configfile)
    write = sys.stdout.write
    write(f"wall {wall:.1f} s on {options.cores} cores\n\n")
    for mode, rows in steps_by_mode().items():
        phases = ("step", "rollout", "verify", "log_probs", "update")
        parts = {phase: median(float(row[f"seconds_{phase}"]) for row in rows) for phase in phases}
        rate = median(float(row["rollouts_per_second"]) for row in rows)
        timed = "  ".join(f"{phase} {1000 * value:.1f} ms" for phase, value in parts.items())
        write(f"{mode}: {timed}  {rate:.0f} rollouts/s over the whole step\n")
    write("\n")
    useful = useful_seconds(options.configfile)
    for name, seconds in useful.items():
        write(f"{name}: {seconds:.1f} s\n")
    total = wall * options.cores
    write(f"neither: {total - sum(useful.values()):.1f} s of {total:.1f} core seconds, ")
    write(f"{1 - sum(useful.values()) / total:.1%}\n\n")
    for rule, seconds in sorted(job_seconds().items(), key=lambda item: -item[1]):
        write(f"jobs of {rule}: {seconds:.1f} s\n")


if __name__ == "__main__":
    main()
