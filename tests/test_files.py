"""Writing never leaves half a file under its final name."""

import gzip
import os
import shutil
import subprocess
import sys

import pytest

from rlvr.errors import UserError
from rlvr.files import atomic_path, read_json, read_jsonl, sha256_file, write_csv, write_json, write_jsonl


def test_a_failure_keeps_what_was_there_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_are_replaced_whole(tmp_path):
    for name in ("first", "second"):
        with atomic_path(tmp_path / "policy") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [path.name for path in (tmp_path / "policy").iterdir()] == ["second"]


def test_nobody_sees_half_of_a_folder_that_is_replaced(tmp_path, monkeypatch):
    target, seen = tmp_path / "policy", []
    write_folder(target, "old")

    def seeing_rmtree(*arguments, **named):
        seen.append([path.name for path in target.iterdir()])
        rmtree(*arguments, **named)

    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", seeing_rmtree)
    write_folder(target, "new")
    assert seen == [["new"]]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    target = tmp_path / "policy"
    write_folder(target, "old")

    def refusing(source, destination):
        if str(source).endswith(".tmp"):
            raise OSError("no")
        replace(source, destination)

    replace = os.replace
    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(OSError, match="no"):
        write_folder(target, "new")
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def write_folder(target, name):
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / name).write_text(name)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_jsonl_that_is_cut_or_damaged_is_named(tmp_path, name):
    path = tmp_path / name
    write_jsonl(path, [{"a": 1}, {"a": 22}])
    whole = path.read_bytes()
    cuts = range(1, len(whole)) if name.endswith(".gz") else [*range(1, 9), *range(10, len(whole))]
    for end in cuts:  # at 9 of the plain file ends a line
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match=rf"{name}:\d: cut off or damaged"):
            list(read_jsonl(path))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_jsonl_round_trip_and_equal_bytes(tmp_path, name):
    rows = [{"a": 1, "text": "π ≠ 3\u2028"}, {"a": None}]
    write_jsonl(tmp_path / name, rows)
    assert list(read_jsonl(tmp_path / name)) == rows
    first = sha256_file(tmp_path / name)
    write_jsonl(tmp_path / name, rows)
    assert sha256_file(tmp_path / name) == first
    if name.endswith(".gz"):
        assert gzip.decompress((tmp_path / name).read_bytes()).count(b"\n") == 2


def test_json_refuses_what_is_no_json(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1.5]})
    assert read_json(tmp_path / "a.json") == {"x": [1.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": [1.5]}


VICTIM = """
import os, signal, sys
from rlvr.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.mkdir()
    (temporary / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_write_removes_what_a_killed_process_left(tmp_path):
    target = tmp_path / "policy"
    killed = subprocess.Popen([sys.executable, "-c", VICTIM, str(target)])
    assert killed.wait() == -9
    (left,) = tmp_path.iterdir()
    other = tmp_path / f".policy.step2.{killed.pid}.tmp"  # of policy.step2
    living = tmp_path / ".policy.1.tmp"
    other.touch()
    living.touch()
    with atomic_path(target) as temporary:
        assert not left.exists()
        temporary.mkdir()
    assert sorted(tmp_path.iterdir()) == sorted([target, other, living])


def test_csv_has_empty_cells_for_nan_and_refuses_unknown_columns(tmp_path):
    write_csv(
        tmp_path / "t.csv", ["step", "loss"], [{"step": 1, "loss": 0.5}, {"step": 2, "loss": float("nan")}]
    )
    assert (tmp_path / "t.csv").read_bytes() == b"step,loss\n1,0.5\n2,\n"
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        write_csv(tmp_path / "t.csv", ["step"], [{"step": 1, "loss": 0.5}])
    assert (tmp_path / "t.csv").read_bytes() == b"step,loss\n1,0.5\n2,\n"
