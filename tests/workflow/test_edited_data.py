"""A row of a data file: what is prepared from it is made anew, and what follows only if that has changed."""

import json
from collections import Counter

import pytest

CONFIG = """\
name: rows
data_root: rows
data:
  train:
    task: add
    template: plain
    verifier: exact
    sources: [{kind: jsonl, path: train.jsonl}]
    holdout: null
  evaluation:
    add: {source: {kind: jsonl, path: add.jsonl}, template: plain, verifier: exact}
    sub: {source: {kind: jsonl, path: sub.jsonl}, template: plain, verifier: exact}
precision:
  evaluation:
    on_task: add
    suites: {both: [add, sub]}
    tasks:
      add: {rows: 2, samples: 2, pass_at: [1]}
      sub: {rows: 2, samples: 2, pass_at: [1]}
"""
PREPARED = ("--configfile", "config/rows.yaml", "--", "results/rows/data/manifest.json")


def rows(name: str, numbers: range) -> str:
    problems = ({"id": f"{name}-{n}", "question": f"{name} {n}?", "answer": str(n)} for n in numbers)
    return "".join(json.dumps(problem) + "\n" for problem in problems)


@pytest.fixture(scope="module")
def prepared(project):
    """A project whose data come from files, and are prepared."""
    folder = project.folder / "rows"
    folder.mkdir()
    for name in ("train", "add", "sub"):
        (folder / f"{name}.jsonl").write_text(rows(name, range(4)))
    (project.folder / "config/rows.yaml").write_text(CONFIG)
    run = project.snakemake("--cores", "1", *PREPARED)
    assert run.returncode == 0, run.stdout
    return project


def made(project, *arguments: str) -> Counter:
    """The jobs that are really run to have the data prepared."""
    run = project.snakemake("--cores", "1", *PREPARED)
    assert run.returncode == 0, run.stdout
    lines = (line.split() for line in run.stdout.splitlines())
    return Counter(words[1].rstrip(":") for words in lines if words[:1] in (["rule"], ["localrule"]))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("train.jsonl", Counter(prepare_training_data=1, merge_manifests=1)),
        # Training data are kept apart from the evaluation's.
        ("sub.jsonl", Counter(prepare_evaluation_task=1, prepare_training_data=1, merge_manifests=1)),
    ],
)
def test_a_new_row_is_prepared_with_what_follows(prepared, file, expected):
    path = prepared.folder / "rows" / file
    with path.open("a") as lines:
        lines.write(rows("new " + file, range(1)))
    assert prepared.planned(*PREPARED) == expected
    assert made(prepared) == expected
    assert prepared.planned(*PREPARED) == Counter()


def test_a_file_that_was_only_touched_reruns_nothing(prepared):
    (prepared.folder / "rows/train.jsonl").touch()
    assert prepared.planned(*PREPARED) == Counter()


def test_a_new_row_reaches_the_runs_in_the_plan(prepared):
    """A dry run counts what may follow, since only the preparation can tell whether its result changes."""
    target = "results/rows/precision/train/fp32/seed1/rep1/policy"
    planned = prepared.planned("--configfile", "config/rows.yaml", "--", target)
    assert planned["train_policy"] == planned["train_base_policy"] == 1
    assert "prepare_training_data" not in planned
    with (prepared.folder / "rows/train.jsonl").open("a") as lines:
        lines.write(rows("more", range(1)))
    planned = prepared.planned("--configfile", "config/rows.yaml", "--", target)
    assert planned["train_policy"] == planned["prepare_training_data"] == 1


def test_an_added_evaluation_task_is_kept_out_of_training(prepared):
    task = "{source: {kind: jsonl, path: train.jsonl}, template: plain, verifier: exact}"
    override = ("--config", f"data={{evaluation: {{third: {task}}}}}")
    planned = prepared.planned(*PREPARED[:2], *override, *PREPARED[2:])
    assert planned["prepare_training_data"] == 1
