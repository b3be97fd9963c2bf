"""The page on a task and a verifier of one's own works as it is written."""

import re
import subprocess
import sys

import pytest
from project_copy import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "bring-your-own-task.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
VERIFIER, NAME, DATA, TRIAL = (text for language, text in BLOCKS if language == "python")
(CONFIG,) = (text for language, text in BLOCKS if language == "yaml")
(COMMANDS,) = (text for language, text in BLOCKS if not language)


def python(project, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prepared(project):
    """A project in which somebody has followed the page."""
    (project.folder / "lib/rlvr/verify/near.py").write_text(VERIFIER)
    registry = project.folder / "lib/rlvr/verify/registry.py"
    imported, entry = NAME.splitlines(keepends=True)
    text = registry.read_text()
    anchor, table = "from rlvr.verify.prompted", "VERIFIERS: dict[str, VerifierContext] = {\n"
    assert text.count(anchor) == text.count(table) == 1
    registry.write_text(text.replace(anchor, imported + anchor).replace(table, table + entry))
    python(project, "-c", DATA)
    (project.folder / "config/halve.yaml").write_text(CONFIG)
    return project


def test_verifier_and_config_are_20_lines():
    lines = [line for text in (VERIFIER, NAME, CONFIG) for line in text.splitlines() if line.strip()]
    assert len(lines) <= 20


def test_the_verifier_judges_by_its_name(prepared):
    shown = python(prepared, "-c", TRIAL).splitlines()
    assert [line.split("(")[0] for line in shown] == ["101 Verdict", "102 Verdict", "many Verdict"]
    assert ["reward=1.0" in line for line in shown] == [True, False, False]
    assert ["format_ok=True" in line for line in shown] == [True, True, False]


def test_the_study_is_planned_and_its_data_prepared(prepared):
    commands = COMMANDS.splitlines()
    assert commands[0].startswith("snakemake -n ")
    planned = prepared.planned(*commands[0].split()[2:])
    assert planned["train_policy"] == planned["evaluate_policy"] == 25
    assert planned["prepare_evaluation_task"] == 1
    run = prepared.snakemake(
        "results/halve/data/manifest.json", "--cores", "1", "--configfile", "config/halve.yaml"
    )
    assert run.returncode == 0, run.stdout
    rows = (prepared.folder / "results/halve/data/train.jsonl").read_text().splitlines()
    assert len(rows) == 90
    assert '"verifier": "near"' in rows[0]


def test_the_planner_takes_the_config(prepared):
    command = COMMANDS.splitlines()[1].split()
    assert command[:2] == ["python", "-m"]
    assert "halve" in python(prepared, *command[1:])
