"""A row of a data file reruns what is prepared from it, and what follows."""

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
ROWS = ("--configfile", "config/rows.yaml")
PREPARED = "results/rows/data/manifest.json"
TRAINING_DATA = "results/rows/data/train.jsonl"


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
    made(project, PREPARED)
    return project


def made(project, target: str) -> Counter:
    """The jobs that are really run for a target."""
    run = project.snakemake("--cores", "1", target, *ROWS)
    assert run.returncode == 0, run.stdout
    lines = (line.split() for line in run.stdout.splitlines())
    return Counter(words[1].rstrip(":") for words in lines if words[:1] in (["rule"], ["localrule"]))


def add_row(project, file: str, row: str) -> None:
    with (project.folder / "rows" / file).open("a") as lines:
        lines.write(row)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("train.jsonl", Counter(prepare_training_data=1, merge_manifests=1)),
        # Training data are kept apart from the evaluation's.
        ("sub.jsonl", Counter(prepare_evaluation_task=1, prepare_training_data=1, merge_manifests=1)),
    ],
)
def test_a_new_row_is_prepared_with_what_follows(prepared, file, expected):
    add_row(prepared, file, rows(f"new {file}", range(1)))
    assert made(prepared, PREPARED) == expected


def test_a_file_that_was_only_touched_reruns_nothing(prepared):
    (prepared.folder / "rows/train.jsonl").touch()
    assert prepared.planned(PREPARED, *ROWS) == Counter()


def test_an_added_evaluation_task_is_kept_out_of_training(prepared):
    source = "{kind: jsonl, path: train.jsonl}"
    task = f"data={{evaluation: {{third: {{source: {source}, template: plain, verifier: exact}}}}}}"
    planned = prepared.planned(PREPARED, *ROWS, "--config", task)
    assert planned == Counter(prepare_evaluation_task=1, prepare_training_data=1, merge_manifests=1)


def test_a_row_that_changes_no_prepared_file_stops_there_if_the_data_are_prepared_first(prepared):
    repeated = rows("sub", range(1)).replace("sub-0", "sub-again")  # another id, the same question
    add_row(prepared, "sub.jsonl", repeated)
    follows = Counter(prepare_evaluation_task=1, prepare_training_data=1)
    assert prepared.planned(TRAINING_DATA, *ROWS) == follows
    assert made(prepared, "results/rows/data/eval/sub.jsonl") == Counter(prepare_evaluation_task=1)
    assert prepared.planned(TRAINING_DATA, *ROWS) == Counter()


def test_a_new_row_reaches_the_runs(prepared):
    target = "results/rows/precision/train/fp32/seed1/rep1/policy"
    assert "prepare_training_data" not in prepared.planned(target, *ROWS)
    add_row(prepared, "train.jsonl", rows("more", range(1)))
    planned = prepared.planned(target, *ROWS)
    assert planned["train_policy"] == planned["prepare_training_data"] == 1
