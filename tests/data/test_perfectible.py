"""The perfectible set: bounds, counts, files, the order of what is kept, and a resume."""

import csv
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orphaned import orphaned
from sent_sigterm import end_by_sigterm
from tiny_run import TRAINING

from rlvr.config.build import build
from rlvr.config.load import ConfigError, validate_config
from rlvr.config.precision import PerfectibleConfig
from rlvr.data.perfectible import choose_perfectible
from rlvr.data.prepare import merge_manifests
from rlvr.errors import UserError
from rlvr.files import read_json, read_jsonl, sha256_file, write_json, write_jsonl
from rlvr.training import perfectible as selection
from rlvr.training.perfectible import SelectionFiles, SelectionJob, select_perfectible

DEFAULT = PerfectibleConfig(enabled=True, samples=40, lowest=0.2, highest=0.8, seed=0)


# Which problems are kept


def test_both_bounds_belong_to_the_set():
    chosen = choose_perfectible([0, 7, 8, 20, 32, 33, 40], DEFAULT)
    assert chosen.kept == (2, 3, 4)
    assert (chosen.too_hard, chosen.too_easy) == (2, 2)
    assert chosen.accuracy == pytest.approx(140 / 280)
    assert chosen.accuracy_kept == pytest.approx(60 / 120)


def test_a_bound_that_a_share_equals_is_met_for_every_decimal_bound():
    """0.07 or 0.29 have no exact float64; k/100 must still count as equal to its decimal."""
    for samples, percent in product((100, 200, 300, 700), range(1, 100)):
        bound = float(f"0.{percent:02d}")
        right = samples * percent // 100
        config = replace(DEFAULT, samples=samples, lowest=bound, highest=1.0)
        assert choose_perfectible([right, right - 1], config).kept == (0,)
        config = replace(DEFAULT, samples=samples, lowest=0.0, highest=bound)
        assert choose_perfectible([right + 1, right], config).kept == (1,)


@given(st.lists(st.integers(0, 40), min_size=1).map(lambda right: [*right, 20]))
def test_every_problem_is_counted_once(right):
    chosen = choose_perfectible(right, DEFAULT)
    assert len(chosen.kept) + chosen.too_hard + chosen.too_easy == len(right)
    assert list(chosen.kept) == sorted(set(chosen.kept))
    assert DEFAULT.lowest <= chosen.accuracy_kept <= DEFAULT.highest


def test_an_empty_set_is_said_with_the_bounds_and_what_to_change():
    said = r"none of 3 training problems in 20 to 80 % of 40 samples \(2 less often, 1 more often\); widen"
    with pytest.raises(UserError, match=said):
        choose_perfectible([0, 7, 40], DEFAULT)


# The job


def _job(**perfectible) -> SelectionJob:
    bounds = {"enabled": True, "samples": 40, "lowest": 0.2, "highest": 0.8, "seed": 0}
    return build(
        SelectionJob,
        {
            "template": "plain",
            "device": "cpu",
            "compute_threads": 1,
            "verification": {"time_limit_s": 10.0, "memory_mb": 1024, "require_isolation": "any"},
            "sampling": TRAINING["sampling"],
            "perfectible": bounds | perfectible,
        },
    )


@dataclass(frozen=True)
class Inputs:
    policy: Path
    problems: Path


def _files(inputs: Inputs, out: Path) -> SelectionFiles:
    return SelectionFiles(
        base=str(inputs.policy),
        problems=str(inputs.problems),
        kept=str(out / "train_perfectible.jsonl"),
        counts=str(out / "perfectible.json"),
        accuracy=str(out / "base_accuracy.csv"),
        checkpoints=str(out / "checkpoints"),
    )


@pytest.fixture(scope="module")
def inputs(small_base, tmp_path_factory):
    """A small policy, its problems, and one problem more whose prompt leaves no room for a response."""
    problems = list(read_jsonl(small_base / "train.jsonl"))
    problems.insert(3, problems[0] | {"id": "long", "prompt": "m:" + "1" * 30 + "="})
    path = tmp_path_factory.mktemp("inputs") / "train.jsonl"
    write_jsonl(path, problems)
    return Inputs(small_base / "policy", path)


@pytest.fixture(scope="module")
def selected(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    select_perfectible(_job(), _files(inputs, out))
    return out


def _table(out: Path) -> dict[str, int]:
    with (out / "base_accuracy.csv").open() as file:
        return {row["problem"]: int(row["right"]) for row in csv.DictReader(file)}


def test_what_is_kept_is_what_the_table_says(inputs, selected):
    problems = list(read_jsonl(inputs.problems))
    kept = list(read_jsonl(selected / "train_perfectible.jsonl"))
    right, counts = _table(selected), read_json(selected / "perfectible.json")
    assert kept == [problem for problem in problems if 8 <= right.get(problem["id"], 0) <= 32]
    assert 0 < len(kept) < 64
    assert list(right) == [problem["id"] for problem in problems if problem["id"] != "long"]
    assert counts["kept"] == len(kept)
    assert counts["too_hard"] == sum(count < 8 for count in right.values())
    assert counts["too_easy"] == sum(count > 32 for count in right.values())
    assert (counts["problems"], counts["too_long"]) == (65, 1)
    assert counts["accuracy"] == pytest.approx(np.mean(list(right.values())) / 40)
    assert counts["accuracy_kept"] == pytest.approx(np.mean([right[problem["id"]] for problem in kept]) / 40)
    assert counts["sha256"] == sha256_file(selected / "train_perfectible.jsonl")
    assert not (selected / "checkpoints").exists()


def test_an_independent_draw_finds_the_same_accuracies(inputs, selected, tmp_path):
    """The shares of two seeds differ by binomial noise: their squared z sum to a chi-square of at most 64."""
    select_perfectible(_job(seed=1), _files(inputs, tmp_path))
    first, second = _table(selected), _table(tmp_path)
    assert first != second
    pooled = {problem: (first[problem] + second[problem]) / 80 for problem in first}
    squares = [
        (first[problem] - second[problem]) ** 2 / (80 * share * (1 - share))
        for problem, share in pooled.items()
        if 0 < share < 1
    ]
    assert sum(squares) < 105  # the 99.9 % point for 64 degrees of freedom is 104.7


def test_a_killed_selection_goes_on_where_it_stopped(inputs, selected, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "CHUNK", 16)
    monkeypatch.setattr(selection, "CHECKPOINT_SECONDS", 0.0)
    judge_rollouts, batches = selection.judge_rollouts, []

    def judge_twice(rollouts, problems, *rest):
        batches.append([problem.id for problem in problems])
        if len(batches) == 3:
            raise KeyboardInterrupt
        return judge_rollouts(rollouts, problems, *rest)

    monkeypatch.setattr(selection, "judge_rollouts", judge_twice)
    with pytest.raises(KeyboardInterrupt):
        select_perfectible(_job(), _files(inputs, tmp_path))
    select_perfectible(_job(), _files(inputs, tmp_path))
    assert Counter(map(len, batches)) == {16: 5}  # the third is done twice, the first two once
    assert batches[2] == batches[3]
    assert _table(tmp_path) == _table(selected)


def test_a_selection_that_gets_a_sigterm_goes_on_after_its_problems(inputs, selected, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "CHUNK", 16)

    def job():
        select_perfectible(_job(), _files(inputs, tmp_path))

    end_by_sigterm(monkeypatch, selection, "judge_rollouts", 2, job)
    batches, judge = [], selection.judge_rollouts
    monkeypatch.setattr(selection, "judge_rollouts", lambda *a: batches.append(1) or judge(*a))
    job()
    assert len(batches) == 2  # two of four were done before
    assert _table(tmp_path) == _table(selected)


def test_what_an_orphan_has_selected_is_only_written_again(inputs, selected, tmp_path, monkeypatch):
    with orphaned(monkeypatch):
        select_perfectible(_job(), _files(inputs, tmp_path))
    monkeypatch.setattr(selection, "draw_rollouts", None)
    select_perfectible(_job(), _files(inputs, tmp_path))
    assert _table(tmp_path) == _table(selected)
    assert not Path(_files(inputs, tmp_path).checkpoints).exists()


def test_an_empty_set_stops_the_job(inputs, tmp_path):
    with pytest.raises(UserError, match=r"none of 64 .* in 99.1 to 99.9 % of 10 samples"):
        select_perfectible(_job(samples=10, lowest=0.991, highest=0.999), _files(inputs, tmp_path))
    assert not (tmp_path / "train_perfectible.jsonl").exists()


# The manifest and the config


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_manifest_has_the_counts_under_train(tmp_path, selected, order):
    train, task = {"role": "train", "task": "max", "rows": 65}, {"role": "evaluation", "task": "rev"}
    paths = [tmp_path / "train.json", tmp_path / "rev.json", selected / "perfectible.json"]
    write_json(paths[0], train)
    write_json(paths[1], task)
    merge_manifests([paths[place] for place in order], tmp_path / "manifest.json")
    counts = read_json(selected / "perfectible.json")
    assert read_json(tmp_path / "manifest.json") == {
        "train": train | {"perfectible": counts},
        "evaluation": {"rev": task},
    }


def test_bounds_that_some_count_meets_are_sound():
    validate_config({"precision": {"perfectible": {"samples": 2, "lowest": 0.5, "highest": 0.6}}})


@pytest.mark.parametrize(
    ("perfectible", "said"),
    [
        ({"lowest": 0.8}, "precision.perfectible.lowest: 0.8 is not below highest, 0.8; allowed: two"),
        ({"lowest": 0.9}, "precision.perfectible.lowest: 0.9 is not below highest, 0.8; allowed: two"),
        (
            {"samples": 10, "lowest": 0.21, "highest": 0.29},
            "precision.perfectible: no share of 10 samples lies within 0.21 and 0.29; allowed: bounds",
        ),
    ],
)
def test_bounds_that_nothing_can_meet_are_a_contradiction(perfectible, said):
    with pytest.raises(ConfigError) as caught:
        validate_config({"precision": {"perfectible": perfectible}})
    assert said in str(caught.value)
