"""Tables side by side: what is compared how, without any training."""

import gzip
import json

import pytest

from rlvr.precision import MODES
from rlvr.reproduction.comparison import Comparison, Parting, Verdict, first_parting, overall
from rlvr.reproduction.rounding import training_tolerance
from rlvr.reproduction.tables import compare_tables

RESULT = {
    "run": {"arm": "fp32", "seed": 1},
    "tasks": [{"task": "add", "problems": 16, "accuracy": 0.5, "pass_at": {"1": 0.5}}],
    "kl": [{"task": "add", "full": 0.25}],
    "seconds": {"rollout": 1.0},
    "weight_hash": "aa",
    "provenance": {"python": "3.11"},
}


def verdict(tmp_path, one, other, ending=".json", allowed=2.0**-12) -> Comparison:
    paths = tmp_path / f"one{ending}", tmp_path / f"other{ending}"
    for path, content in zip(paths, (one, other), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return compare_tables("table", *paths, allowed)


def changed(path: str, value) -> dict:
    """`RESULT` with one leaf replaced."""
    record = json.loads(json.dumps(RESULT))
    *parents, last = path.split(".")
    place = record
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[last] = value
    return record


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("kl.0.full", 0.25 + 2.0**-12, Verdict.EQUAL),
        ("kl.0.full", 0.25 + 2.0**-11, Verdict.DIFFERENT),
        ("kl.0.full", None, Verdict.DIFFERENT),
        # What was drawn, and whole numbers and words, have no rounding.
        ("tasks.0.accuracy", 0.5 + 2.0**-30, Verdict.DIFFERENT),
        ("tasks.0.pass_at.1", 0.5 + 2.0**-30, Verdict.DIFFERENT),
        ("tasks.0.problems", 17, Verdict.DIFFERENT),
        ("tasks.0.task", "sub", Verdict.DIFFERENT),
        ("run.seed", 2, Verdict.DIFFERENT),
        # Times, and what other files say better.
        ("seconds.rollout", 9.0, Verdict.IDENTICAL),
        ("weight_hash", "bb", Verdict.IDENTICAL),
        ("provenance.python", "3.12", Verdict.IDENTICAL),
    ],
)
def test_each_kind_of_number_is_judged_in_its_own_way(tmp_path, path, value, expected):
    found = verdict(tmp_path, RESULT, changed(path, value))
    assert found.verdict is expected
    if expected is not Verdict.IDENTICAL:
        assert found.first.what.startswith(f"row 1, {path}: ")


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ("step,loss\n1,0.5\n2,0.5\n", "step,loss\n1,0.5\n", "step 2, row 2 is in the first only"),
        ("step,loss\n1,0.5\n", "step,gain\n1,0.5\n", "step 1, loss: 0.5 against nothing"),
        ("step,loss\n1,0.5\n", "step,loss\n1\n", "unreadable: a row has not as many cells as the header"),
        ("seed,step,loss\n2,1,0.5\n", "seed,step,loss\n2,1,\n", "step 1, seed 2, loss: 0.5 against empty"),
        ("a,b\n1,x\n", "a,b\n1,y\n", "row 1, b: x against y"),
    ],
)
def test_tables_of_another_shape_are_different(tmp_path, one, other, where):
    found = verdict(tmp_path, one, other, ".csv")
    assert found.verdict is Verdict.DIFFERENT
    assert str(found.beyond) == where


def test_compressed_lines_are_compared_by_content(tmp_path):
    line = json.dumps({"step": 3, "response": "12", "log_prob": -0.5}).encode()
    paths = tmp_path / "one.jsonl.gz", tmp_path / "other.jsonl.gz"
    for time, path in enumerate(paths):
        path.write_bytes(gzip.compress((line + b"\n") * 2, mtime=time))
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert compare_tables("table", *paths, 0.0).verdict is Verdict.IDENTICAL
    paths[1].write_bytes(gzip.compress(line + b"\n" + line.replace(b'"12"', b'"13"') + b"\n"))
    found = compare_tables("table", *paths, 0.0)
    assert str(found.first) == "step 3, response: 12 against 13"


def test_the_first_difference_may_be_rounding_and_the_first_beyond_it_later(tmp_path):
    one = "step,loss\n1,0.5\n2,0.5\n3,0.5\n"
    found = verdict(tmp_path, one, "step,loss\n1,0.5\n2,0.5001\n3,0.6\n", ".csv")
    assert (found.first.step, found.beyond.step) == (2, 3)


def test_a_step_is_as_coarse_as_its_coarsest_dtype():
    found = {name: training_tolerance(mode) for name, mode in MODES.items()}
    assert found["fp32"] == 2.0**-12
    assert found["fp16_mixed"] == 2.0**-5.5
    assert {found[name] for name in MODES if name not in ("fp32", "fp16_mixed")} == {2.0**-4}


def test_the_verdict_on_several_things_is_the_worst_and_nothing_compared_is_different():
    same = Comparison("a")
    rounded = Comparison("b", Parting("x", 5))
    worse = Comparison("c", Parting("y", 4), Parting("z", 6))
    assert overall([same, rounded]) is Verdict.EQUAL
    assert overall([same, rounded, worse]) is Verdict.DIFFERENT
    assert overall([]) is Verdict.DIFFERENT
    assert first_parting([same, rounded, worse]) == ("c", Parting("y", 4))
    assert first_parting([same]) is None
