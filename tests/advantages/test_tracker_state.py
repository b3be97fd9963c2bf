"""Snapshots, rows, and independence of the process."""

import copy
import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from reference_trackers import MAKERS, make_stream

from rlvr.advantages import BatchStats, EmaPromptStatTracker, PerPromptStatTracker


def by_torch(state):
    import torch

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


ROUTES = {
    "memory": lambda state: state,
    "json": lambda state: json.loads(json.dumps(state, allow_nan=False)),
    "torch": by_torch,
}


def fed(name, stream):
    tracker = MAKERS[name]()
    for batch in stream:
        tracker.update(*batch)
    return tracker


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_run_goes_on_with_the_same_bits(name, route, cut):
    stream = make_stream()
    undisturbed = fed(name, stream[:cut])
    resumed = fed(name, make_stream(3, seed=9))  # loading replaces all of it
    resumed.load_state_dict(ROUTES[route](undisturbed.state_dict()))
    assert resumed.stats() == undisturbed.stats()
    for batch in stream[cut:]:
        np.testing.assert_array_equal(resumed.update(*batch), undisturbed.update(*batch))
        assert resumed.stats() == undisturbed.stats()
    assert resumed.state_dict() == undisturbed.state_dict()


@pytest.mark.parametrize("name", ["buffer", "ema"])
def test_prompts_may_be_tuples_and_numbers(name):
    tracker = fed(name, [([("q", 1), 2, 2.5, None, ("q", 1)], [1.0, 2.0, 3.0, 4.0, 5.0])])
    resumed = MAKERS[name]()
    resumed.load_state_dict(by_torch(tracker.state_dict()))
    assert [row["prompt"] for row in resumed.stats()] == [("q", 1), 2, 2.5, None]
    assert resumed.stats() == tracker.stats()


@pytest.mark.parametrize("name", MAKERS)
def test_a_snapshot_is_no_alias(name):
    stream = make_stream()
    tracker = fed(name, stream[:3])
    state, rows = tracker.state_dict(), tracker.stats()
    kept, kept_rows = copy.deepcopy(state), copy.deepcopy(rows)
    for batch in stream[3:]:
        tracker.update(*batch)
    assert state == kept  # later updates are not in it
    assert rows == kept_rows
    assert tracker.state_dict() != kept


def overwrite(value):
    """Every number and list in a snapshot, in place."""
    for key in value if isinstance(value, dict) else range(len(value)):
        if isinstance(value[key], dict | list):
            overwrite(value[key])
        else:
            value[key] = "overwritten"


@pytest.mark.parametrize("name", MAKERS)
def test_what_becomes_of_a_snapshot_changes_no_tracker(name):
    source, loaded = fed(name, make_stream()), MAKERS[name]()
    state = source.state_dict()
    kept = copy.deepcopy(state)
    loaded.load_state_dict(state)
    overwrite(state)
    assert state != kept
    assert source.state_dict() == kept
    assert loaded.state_dict() == kept


@pytest.mark.parametrize("name", MAKERS)
def test_two_trackers_share_nothing_after_loading(name):
    source, loaded = fed(name, make_stream()), MAKERS[name]()
    loaded.load_state_dict(source.state_dict())
    before = source.state_dict()
    loaded.update(["prompt 0", "another"], [50.0, -50.0])
    assert source.state_dict() == before


SETTINGS = [
    (PerPromptStatTracker, {"buffer_size": 4, "min_count": 2, "eps": 1e-7}, {"buffer_size": 5}),
    (PerPromptStatTracker, {"buffer_size": 4, "min_count": 2, "eps": 1e-7}, {"min_count": 3}),
    (PerPromptStatTracker, {"buffer_size": 4, "min_count": 2, "eps": 1e-7}, {"eps": 1e-6}),
    (EmaPromptStatTracker, {"decay": 0.9, "min_count": 2, "eps": 1e-7}, {"decay": 0.8}),
    (EmaPromptStatTracker, {"decay": 0.9, "min_count": 2, "eps": 1e-7}, {"min_count": 3}),
    (EmaPromptStatTracker, {"decay": 0.9, "min_count": 2, "eps": 1e-7}, {"eps": 1e-6}),
    (BatchStats, {"eps": 1e-7}, {"eps": 1e-6}),
]


@pytest.mark.parametrize(("kind", "settings", "change"), SETTINGS, ids=str)
def test_a_snapshot_of_other_settings_is_refused(kind, settings, change):
    source, other = kind(**settings), kind(**settings | change)
    source.update(["a"], [1.0])
    other.update(["b", "b"], [2.0, 3.0])
    before = other.state_dict()
    with pytest.raises(ValueError, match=r"state is of a tracker with .*; this one has") as caught:
        other.load_state_dict(source.state_dict())
    (key,) = change
    assert f"'{key}': {settings[key]}" in str(caught.value)
    assert f"'{key}': {change[key]}" in str(caught.value)
    assert other.state_dict() == before


def test_a_snapshot_of_another_kind_is_refused():
    for source in MAKERS:
        for other in set(MAKERS) - {source}:
            with pytest.raises(ValueError, match="state is of a tracker with"):
                MAKERS[other]().load_state_dict(MAKERS[source]().state_dict())


@pytest.mark.parametrize("name", MAKERS)
def test_a_snapshot_with_a_part_missing_changes_nothing(name):
    broken, tracker = fed(name, make_stream(seed=3)).state_dict(), fed(name, make_stream())
    before = tracker.state_dict()
    for part in broken:
        with pytest.raises((KeyError, ValueError), match=part if part != "settings" else "None"):
            tracker.load_state_dict({key: value for key, value in broken.items() if key != part})
        assert tracker.state_dict() == before


@pytest.mark.parametrize("name", MAKERS)
def test_rows_make_a_tidy_table(name):
    tracker = MAKERS[name]()
    assert tracker.stats() == []
    tracker.update(["late", "early", "late"], [1.0, 2.0, 3.0])
    table = pd.DataFrame(tracker.stats())
    assert list(table.columns) == ["prompt", "mean", "std", "count"]
    assert [str(table[column].dtype) for column in ("mean", "std", "count")] == [
        "float64",
        "float64",
        "int64",
    ]
    if name != "batch":
        assert list(table["prompt"]) == ["late", "early"]  # in the order of first appearance
        assert list(table["count"]) == [2, 1]


@pytest.mark.parametrize("name", MAKERS)
def test_the_arrays_are_copies_of_the_rows(name):
    tracker = MAKERS[name]()
    assert [len(column) for column in vars(tracker.stats_arrays()).values()] == [0, 0, 0, 0]
    for batch in make_stream(3):
        tracker.update(*batch)
    rows, state = tracker.stats(), tracker.state_dict()
    arrays = tracker.stats_arrays()
    for key, column in zip(("prompt", "mean", "std", "count"), vars(arrays).values(), strict=True):
        assert list(column) == [row[key] for row in rows]
    for column in (arrays.mean, arrays.std, arrays.count):
        column[:] = 77
    arrays.prompts.clear()
    assert tracker.stats() == rows
    assert tracker.state_dict() == state


def run_python(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout


PROGRAM = """
from reference_trackers import MAKERS, make_stream
for make in MAKERS.values():
    tracker = make()
    for batch in make_stream():
        print(tracker.update(*batch).tobytes().hex())
    print(tracker.stats(), tracker.state_dict())
print([hash(name) for name in ("red", "green")])
"""


def test_hashes_of_the_process_do_not_matter():
    one, other = (run_python(PROGRAM, PYTHONHASHSEED=seed).splitlines() for seed in ("1", "2"))
    assert len(one) == 3 * 9 + 1
    assert one[-1] != other[-1]  # the hashes do differ
    assert one[:-1] == other[:-1]


def test_the_trackers_need_no_torch():
    program = "import sys, rlvr.advantages; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert run_python(program).split() == ["False", "True"]
