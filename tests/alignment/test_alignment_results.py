"""What is kept of a finished seed, and the outputs of an arm."""

import csv
import math
from pathlib import Path

import pytest
from tensorboard_events import read_scalars

from rlvr.alignment import results
from rlvr.alignment.job import ArmFiles
from rlvr.alignment.results import (
    VALIDATION_COLUMNS,
    SeedResult,
    checkpoints_of,
    close_validation,
    load_finished,
    save_finished,
    validation_row,
    write_arm,
)
from rlvr.files import read_json, read_jsonl, sha256_file

MEASURES = [column for column in VALIDATION_COLUMNS if column not in ("seed", "seconds", "final")][:-2]


def _files(folder):
    return ArmFiles(
        policies=str(folder / "out" / "policies"),
        metrics=str(folder / "out" / "metrics.csv"),
        validation=str(folder / "out" / "validation.csv"),
        generations=str(folder / "out" / "generations.jsonl.gz"),
        tensorboard=str(folder / "out" / "tensorboard"),
        provenance=str(folder / "out" / "provenance.json"),
        checkpoints=str(folder / "checkpoints"),
    )


def _rows(*accuracies):
    return [
        validation_row(
            dict.fromkeys(MEASURES, 0.1) | {"step": step, "accuracy": accuracy}, seconds=1.5 * step
        )
        for step, accuracy in enumerate(accuracies)
    ]


def _result(seed, steps=2):
    metrics = [{"step": step + 1, "loss": 0.1 * seed + 0.2, "ratio_max": math.nan} for step in range(steps)]
    validation = close_validation(_rows(0.4, 0.5), 0.5)
    generations = [{"step": 0, "response": "é", "entropy": None}]
    return SeedResult(seed, metrics, validation, generations, {"seed": seed, "updates": steps})


def _save(files, result, identity="one"):
    def policy(folder):
        folder.mkdir()
        (folder / "weights").write_text(f"weights of {result.seed}")

    save_finished(files, result, identity, policy)


def _read(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("accuracies", "broken", "diverged", "reason"),
    [
        ((0.4, 0.3, 0.2), "", False, ""),  # half is not below half
        ((0.4, 0.1, 0.21), "", False, ""),  # only the last one counts
        ((0.4, 0.5, 0.19), "", True, "final accuracy 0.1900 is below 0.5 of the start's 0.4000"),
        ((0.4, 0.5, 0.6), "after 3 steps: nan", True, "after 3 steps: nan"),
        ((0.0, 0.0), "", False, ""),
    ],
)
def test_a_run_diverges_by_the_rule(accuracies, broken, diverged, reason):
    rows = _rows(*accuracies)
    closed = close_validation(rows, 0.5, broken)
    assert closed[:-1] == rows[:-1]
    assert [row["final"] for row in closed] == [False] * (len(rows) - 1) + [True]
    assert (closed[-1]["diverged"], closed[-1]["reason"]) == (diverged, reason)
    assert closed[-1]["accuracy"] == accuracies[-1]


def test_a_finished_seed_comes_back_as_it_was(tmp_path):
    files, result = _files(tmp_path), _result(1)
    in_training = checkpoints_of(files, 1)
    in_training.mkdir(parents=True)
    _save(files, result)
    assert not in_training.exists()
    again = load_finished(files, 1, "one")
    assert math.isnan(again.metrics[0].pop("ratio_max"))
    del result.metrics[0]["ratio_max"]
    assert again.metrics[0] == result.metrics[0]
    assert (again.validation, again.generations, again.record) == (
        result.validation,
        result.generations,
        result.record,
    )
    assert load_finished(files, 2, "one") is None


def test_each_seed_has_its_steps_and_validations_in_tensorboard(tmp_path):
    files, results = _files(tmp_path), [_result(seed) for seed in (1, 2)]
    for result in results:
        _save(files, result)
    write_arm(files, results, {})
    assert sorted(path.name for path in Path(files.tensorboard).iterdir()) == ["seed1", "seed2"]
    for seed in (1, 2):
        (events,) = (Path(files.tensorboard) / f"seed{seed}").iterdir()
        scalars = read_scalars(events)
        assert scalars["loss", 2] == pytest.approx(0.1 * seed + 0.2)
        assert scalars["validation/accuracy", 1] == pytest.approx(0.5)
        tags = {tag for tag, _ in scalars}
        assert tags == {"loss", *(f"validation/{name}" for name in [*MEASURES, "seconds"] if name != "step")}


def test_a_seed_of_another_identity_is_dropped(tmp_path, caplog):
    files = _files(tmp_path)
    _save(files, _result(1))
    assert load_finished(files, 1, "other") is None
    assert "belongs to another config or code" in caplog.text
    assert load_finished(files, 1, "one") is None


def test_a_damaged_seed_is_dropped(tmp_path, caplog):
    files = _files(tmp_path)
    _save(files, _result(1))
    (tmp_path / "checkpoints" / "seed1" / "result.json").write_text("{")
    assert load_finished(files, 1, "one") is None
    assert "unreadable" in caplog.text


def test_a_seed_that_could_not_be_saved_whole_is_not_there(tmp_path):
    def policy(folder):
        folder.mkdir()
        raise OSError("disk full")

    files = _files(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        save_finished(files, _result(1), "one", policy)
    assert load_finished(files, 1, "one") is None
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_an_arm_is_written_with_its_seeds(tmp_path):
    files, arm = _files(tmp_path), [_result(1), _result(2, steps=1)]
    for result in arm:
        _save(files, result)
    write_arm(files, arm, {"arm": "default"})
    metrics = _read(files.metrics)
    assert list(metrics[0]) == ["seed", "step", "loss", "ratio_max"]
    assert [(row["seed"], row["step"]) for row in metrics] == [("1", "1"), ("1", "2"), ("2", "1")]
    assert metrics[0]["ratio_max"] == ""
    validation = _read(files.validation)
    assert tuple(validation[0]) == VALIDATION_COLUMNS
    assert [(row["seed"], row["final"]) for row in validation] == [
        ("1", "False"),
        ("1", "True"),
        ("2", "False"),
        ("2", "True"),
    ]
    assert [row["seed"] for row in read_jsonl(files.generations)] == [1, 2]
    provenance = read_json(files.provenance)
    assert provenance.pop("outputs") == {
        name: sha256_file(getattr(files, name)) for name in ("metrics", "validation", "generations")
    }
    assert provenance == {"arm": "default", "runs": [arm[0].record, arm[1].record]}
    policies = tmp_path / "out" / "policies"
    assert {p.name: (p / "weights").read_text() for p in policies.iterdir()} == {
        "seed1": "weights of 1",
        "seed2": "weights of 2",
    }
    assert not (tmp_path / "checkpoints").exists()


def test_an_arm_without_a_finished_step_has_a_header(tmp_path):
    files, result = _files(tmp_path), _result(1, steps=0)
    _save(files, result)
    write_arm(files, [result], {})
    with open(files.metrics) as file:
        assert file.read() == "seed,step\n"


@pytest.mark.parametrize(
    "point", ["write_csv", "write_jsonl", "shutil.copytree", "write_json", "release_checkpoints"]
)
def test_a_crash_while_writing_loses_no_seed(tmp_path, monkeypatch, point):
    files, arm = _files(tmp_path), [_result(1), _result(2)]
    for result in arm:
        _save(files, result)

    def crash(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"{results.__name__}.{point}", crash)
        with pytest.raises(KeyboardInterrupt):
            write_arm(files, arm, {})
    again = [load_finished(files, seed, "one") for seed in (1, 2)]
    write_arm(files, again, {})
    assert (tmp_path / "out" / "policies" / "seed2" / "weights").read_text() == "weights of 2"
    assert len(_read(files.metrics)) == 4
