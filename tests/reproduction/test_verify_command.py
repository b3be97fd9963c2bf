"""`python -m rlvr verify`: hashes, a run trained again, and two folders of results side by side."""

import re
from pathlib import Path

import pytest
import torch
from recorded_run import RUN
from safetensors.torch import load_file, save_file

from rlvr.__main__ import main
from rlvr.files import read_json, write_json

LABEL = "fp32/seed1/rep1"


def verify(capsys, *arguments) -> tuple[int, str]:
    """Exit status and everything that was said, progress apart."""
    status = main(["verify", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out + "".join(line for line in said.err.splitlines(True) if line.startswith("error"))


def status_of(said: str, path: Path) -> str:
    """What the list of hashes says of a path."""
    [status] = re.findall(rf"^  (\w+) +{re.escape(str(path))}(?=:| \(weights\)|$)", said, re.MULTILINE)
    return status


def verdict_of(said: str, name: str) -> str:
    """What the comparison says of a part."""
    [line] = re.findall(rf"^  (.*?) +{re.escape(name)}(?=:|$)", said, re.MULTILINE)
    return line


def flip_bit(policy: Path, bit: int) -> str:
    """Flip one bit of one fp32 weight, and return the name of its tensor."""
    weights = load_file(policy / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    weights[name].view(torch.int32)[3, 5] ^= 1 << bit
    save_file(weights, policy / "model.safetensors", metadata={"format": "pt"})
    return name


def edit_cell(table: Path, row: int, column: str, change) -> str:
    """Replace a cell of a CSV file without touching any other byte; returns the old text."""
    lines = table.read_text().splitlines()
    place = lines[0].split(",").index(column)
    cells = lines[row].split(",")
    old, cells[place] = cells[place], change(cells[place])
    lines[row] = ",".join(cells)
    table.write_text("\n".join(lines) + "\n")
    return old


def test_untouched_results_are_unchanged_and_the_run_comes_out_again(trained, capsys):
    status, said = verify(capsys, trained, "--run", LABEL)
    assert status == 0, said
    hashes, again = said.split("trained again")
    for path in (
        "base/policy",
        "data/train.jsonl",
        f"{RUN}/policy",
        f"{RUN}/metrics.csv",
        f"{RUN}/snapshots",
    ):
        assert status_of(hashes, trained / path) == "unchanged"
    assert "6 unchanged, 0 changed, 0 missing" in hashes
    for name in ("metrics.csv", "rollouts.jsonl.gz", "snapshots/step2", "policy"):
        assert verdict_of(again, f"{RUN}/{name}") == "bit-identical"
    assert again.rstrip().endswith("\nbit-identical")
    assert said.startswith("Versions, device and code: ")


def test_a_copy_is_bit_identical(trained, copy, capsys):
    status, said = verify(capsys, trained, "--against", copy)
    assert status == 0
    assert said.rstrip().endswith("\nbit-identical")


def test_the_lowest_bit_of_a_weight_is_found_and_is_rounding(trained, copy, capsys):
    name = flip_bit(copy / RUN / "policy", bit=0)
    status, said = verify(capsys, trained, "--against", copy)
    assert status == 0
    assert verdict_of(said, f"{RUN}/policy") == "equal within rounding"
    assert said.rstrip().endswith(
        f"equal within rounding; they part first in {RUN}/policy, step 6, {name}: 1 of 2048 weights"
    )
    status, said = verify(capsys, copy)
    assert status == 1
    assert status_of(said, copy / RUN / "policy") == "changed"
    assert status_of(said, copy / RUN / "metrics.csv") == "unchanged"


def test_a_high_bit_of_a_weight_is_different(trained, copy, capsys):
    name = flip_bit(copy / RUN / "policy", bit=29)
    status, said = verify(capsys, trained, "--against", copy)
    assert status == 1
    assert verdict_of(said, f"{RUN}/policy") == "different"
    assert verdict_of(said, f"{RUN}/snapshots/step2") == "bit-identical"
    assert name in said


@pytest.mark.parametrize(
    ("column", "change", "verdict"),
    [
        ("grad_norm", lambda text: repr(float(text) * (1 + 1e-4)), "equal within rounding"),
        ("grad_norm", lambda text: repr(float(text) * (1 + 3e-4)), "different"),
        ("loss", lambda text: repr(float(text) + 1e-4), "equal within rounding"),
        ("loss", lambda text: repr(float(text) + 3e-4), "different"),
        # One token more, or another response judged right, is another run.
        ("tokens", lambda text: str(int(text) + 1), "different"),
        ("reward_mean", lambda text: repr(float(text) + 1e-5), "different"),
        ("loss", lambda text: "", "different"),
        ("seconds_step", lambda text: repr(float(text) + 9), "bit-identical"),
    ],
)
def test_a_changed_metric_is_judged_by_its_kind(trained, copy, capsys, column, change, verdict):
    old = edit_cell(copy / RUN / "metrics.csv", 3, column, change)
    status, said = verify(capsys, trained, "--against", copy)
    assert verdict_of(said, f"{RUN}/metrics.csv") == verdict
    assert status == (verdict == "different")
    where = f"part first in {RUN}/metrics.csv, step 3, {column}: {old} against"
    assert (where in said) == (verdict != "bit-identical")
    assert status_of(verify(capsys, copy)[1], copy / RUN / "metrics.csv") == "changed"


@pytest.mark.parametrize("file", ["metrics.csv", "rollouts.jsonl.gz", "policy/model.safetensors"])
def test_a_truncated_file_is_changed_and_different(trained, copy, capsys, file):
    path = copy / RUN / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    part = Path(file).parts[0]
    status, said = verify(capsys, copy)
    assert status == 1
    assert status_of(said, copy / RUN / part) == "changed"
    status, said = verify(capsys, trained, "--against", copy)
    assert status == 1
    assert verdict_of(said, f"{RUN}/{part}") == "different"


@pytest.mark.parametrize("file", ["metrics.csv", "snapshots", "policy"])
def test_what_is_gone_is_missing(trained, copy, capsys, file):
    (copy / RUN / file).rename(copy / "aside")
    status, said = verify(capsys, copy)
    assert status == 1
    assert status_of(said, copy / RUN / file) == "missing"
    status, said = verify(capsys, trained, "--against", copy)
    assert status == 1
    assert f"missing in {copy}" in said


def test_another_seed_is_different_from_its_first_step(trained, other_seed, capsys):
    status, said = verify(capsys, trained, "--against", other_seed)
    assert status == 1
    assert verdict_of(said, "base/policy") == "bit-identical"
    for name in ("metrics.csv", "policy", "snapshots/step2"):
        assert verdict_of(said, f"{RUN}/{name}") == "different"
    assert f"part first in {RUN}/metrics.csv, step 1, reward_mean" in said


def test_a_record_that_does_not_tell_the_truth_is_found_by_training_again(copy, capsys):
    """Tables that agree with their recorded hashes, and with each other, but are not what the run gives."""
    from rlvr.files import sha256_file

    edit_cell(copy / RUN / "metrics.csv", 2, "accuracy", lambda text: "0.987654321")
    record = read_json(copy / RUN / "provenance.json")
    record["outputs"]["metrics"] = sha256_file(copy / RUN / "metrics.csv")
    write_json(copy / RUN / "provenance.json", record)
    status, said = verify(capsys, copy, "--run", LABEL)
    assert status == 1
    assert "6 unchanged, 0 changed, 0 missing" in said
    assert f"different; they part first in {RUN}/metrics.csv, step 2, accuracy: " in said


def test_other_versions_and_devices_are_said_first(copy, capsys):
    record = read_json(copy / RUN / "provenance.json")
    record["packages"]["torch"] = "1.0"
    record["device"] = "NVIDIA H100"
    write_json(copy / RUN / "provenance.json", record)
    _, said = verify(capsys, copy)
    versions, _ = said.split("Hashes that")
    assert versions.startswith("Versions, device and code: different\n")
    assert f"  torch: 1.0 recorded, {torch.__version__.partition('+')[0]}" in versions
    assert "  device: NVIDIA H100 recorded, " in versions


def test_a_changed_base_or_an_edited_job_cannot_be_repeated(copy, capsys):
    flip_bit_of_base = copy / "base/policy/config.json"
    flip_bit_of_base.write_text(flip_bit_of_base.read_text() + " ")
    status, said = verify(capsys, copy, "--run", LABEL)
    assert status == 1
    assert "base/policy: not what the run was trained on" in said
    record = read_json(copy / RUN / "provenance.json")
    record["job"]["seed"] = 3
    write_json(copy / RUN / "provenance.json", record)
    assert "its record was edited" in verify(capsys, copy, "--run", LABEL)[1]
    del record["job"]["seed"]
    write_json(copy / RUN / "provenance.json", record)
    assert "recorded by another version" in verify(capsys, copy, "--run", LABEL)[1]


def test_an_unreadable_record_is_changed(copy, capsys):
    path = copy / RUN / "provenance.json"
    path.write_text(path.read_text()[:100])
    status, said = verify(capsys, copy)
    assert status == 1
    assert status_of(said, path) == "changed"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("nowhere",), "error: nowhere: no such folder; allowed: "),
        ((".", "--run", "fp32/seed9/rep1"), "argument --run: fp32/seed9/rep1 has no provenance.json"),
        ((".", "--against", "nowhere"), "error: nowhere: no such folder"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, monkeypatch, capsys, arguments, answer):
    monkeypatch.chdir(tmp_path)
    status, said = verify(capsys, *arguments)
    assert status == 1
    assert answer in said


def test_the_allowed_runs_are_listed(trained, capsys):
    assert f"allowed: {LABEL}" in verify(capsys, trained, "--run", "bf16/seed1/rep1")[1]


def test_a_folder_without_records_is_not_verified(tmp_path, capsys):
    status, said = verify(capsys, tmp_path)
    assert status == 1
    assert "0 unchanged, 0 changed, 0 missing\nNothing was verified: " in said
