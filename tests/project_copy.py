"""A copy of the project to run in, so that tests may edit it and its results lie outside."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "config", "lib", "profiles", "report", "rules", "workflow_scripts")
JOB_COUNT = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """The copy in `folder`; commands run there, with its `lib` in front of the installed one."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *arguments]

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder / "lib"), "NO_COLOR": "1"}

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake to its end; standard output and error together in `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def planned(self, *arguments: str) -> Counter:
        """How many jobs of each rule a dry run would run."""
        dry_run = self.snakemake("-n", *arguments)
        assert dry_run.returncode == 0, dry_run.stdout
        if "Nothing to be done" in dry_run.stdout:
            return Counter()
        table = dry_run.stdout.partition("Job stats:")[2].partition("total")[0]
        return Counter({rule: int(count) for rule, count in JOB_COUNT.findall(table)})


def copy_project(folder: Path) -> Project:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, folder / part)
    shutil.copy2(ROOT / "tests" / "workflow" / "tiny.yaml", folder / "config" / "tiny.yaml")
    return Project(folder)


def empty_data(config: dict[str, Any], folder: Path) -> None:
    """Every local file that a config names, empty: a dry run only asks whether it is there."""
    for name in re.findall(r"[\w-]+\.jsonl\.gz", yaml.safe_dump(config)):
        (folder / name).touch()


def uncommented(profile: str) -> str:
    """A profile's text with its examples in force: lines with no space or at least two after #."""
    return re.sub(r"^#(?! )|^#(?=  )", "", profile, flags=re.MULTILINE)
