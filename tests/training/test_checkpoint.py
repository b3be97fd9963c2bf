"""Checkpoints: exact, checksummed, bound to an identity."""

import os
import resource

import pytest
import torch

from rlvr.training.checkpoint import load_checkpoint, save_checkpoint
from rlvr.training.completion import clear_checkpoints


def _state(value: float) -> dict:
    return {
        "weights": {"w": torch.full((3,), value, dtype=torch.bfloat16)},
        "rows": [{"step": 1, "x": value}],
    }


def test_the_newest_is_loaded_exactly_and_only_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, _state(step / 3), "id")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step0000002", "step0000003"]
    step, state = load_checkpoint(tmp_path, "id")
    assert step == 3
    assert torch.equal(state["weights"]["w"], _state(1.0)["weights"]["w"])
    assert state["rows"] == [{"step": 1, "x": 1.0}]


def test_a_damaged_one_is_passed_over_and_said(tmp_path, caplog):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, _state(step), "id")
    damaged = tmp_path / "step0000002" / "state.pt"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert load_checkpoint(tmp_path, "id")[0] == 1
    assert "damaged" in caplog.text
    (tmp_path / "step0000001" / "facts.json").write_text("{")
    assert load_checkpoint(tmp_path, "id") is None
    assert "unreadable" in caplog.text


def test_facts_of_another_step_are_not_believed(tmp_path, caplog):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, _state(step), "id")
    facts = tmp_path / "step0000002" / "facts.json"
    facts.write_text(facts.read_text().replace('"step": 2', '"step": 3'))
    assert load_checkpoint(tmp_path, "id")[0] == 1
    assert "its facts are of step 3" in caplog.text


def test_checkpoints_of_another_identity_do_not_outlive_the_new_run(tmp_path):
    for step in (200, 250):
        save_checkpoint(tmp_path, step, _state(step), "old")
    assert load_checkpoint(tmp_path, "new") is None
    save_checkpoint(tmp_path, 10, _state(10), "new")
    assert load_checkpoint(tmp_path, "new")[0] == 10


def test_another_identity_is_not_used_and_clearing_removes_all(tmp_path, caplog):
    save_checkpoint(tmp_path / "c", 1, _state(1), "id")
    assert load_checkpoint(tmp_path / "c", "other") is None
    assert "another config or code" in caplog.text
    clear_checkpoints(tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert load_checkpoint(tmp_path / "c", "id") is None


@pytest.mark.parametrize("room", [100, 5000, 399_000])
def test_one_that_cannot_be_written_is_named_and_the_one_before_stays(tmp_path, room):
    save_checkpoint(tmp_path, 1, _state(1), "id")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*step0000002.*state\.pt"):
            save_checkpoint(tmp_path, 2, {"w": torch.zeros(100_000)}, "id")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["step0000001"]
    assert load_checkpoint(tmp_path, "id")[0] == 1
