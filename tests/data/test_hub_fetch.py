"""Fetching fills the cache with what is needed, and then no network is needed."""

import io
import json
import os
import shutil
import subprocess
import sys

import pytest
from hub_cache import COMMIT, parquet_bytes, store
from hub_server import serve

from rlvr.config.data import EvaluationDataConfig
from rlvr.config.places import HubNeed
from rlvr.config.sources import HubSource
from rlvr.data.prepare import prepare_evaluation_task
from rlvr.data.problem import read_problems
from rlvr.errors import UserError
from rlvr.fetch import fetch
from rlvr.models.loading import policy_folder

ROWS = parquet_bytes([{"question": "1+2?", "answer": "It is\n#### 3"}])
CARD = b"---\nconfigs:\n- config_name: main\n  data_files:\n  - {split: test, path: main/test-*}\n---\n"
UPLOAD = {
    "README.md": CARD,
    "main/test-00000-of-00001.parquet": ROWS,
    "main/train-00000-of-00001.parquet": ROWS,
}
POLICY = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"the same"}
NEEDS = [HubNeed("dataset", "openai/gsm8k", COMMIT, (), "test"), HubNeed("model", "some-one/policy", COMMIT)]
FETCH = f"""
import sys
from rlvr.config.places import HubNeed
from rlvr.errors import UserError
from rlvr.fetch import fetch
try:
    fetch({NEEDS!r}, sys.argv[1], sys.stdout)
except UserError as error:
    sys.exit(f"error: {{error}}")
"""


def run_fetch(folder, endpoint):
    """Fetch in a process of its own, since the hub client reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-c", FETCH, str(folder / "fetched.json")],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_fetched_is_read_without_network(tmp_path, monkeypatch):
    with serve({"datasets/openai/gsm8k": UPLOAD, "models/some-one/policy": POLICY}) as (address, asked):
        done = run_fetch(tmp_path, address)
        assert done.returncode == 0, done.stderr
        before = len(asked)
        again = run_fetch(tmp_path, address)
        assert again.stdout == done.stdout
        assert not any("/resolve/" in path for path in asked[before:])
    assert not any("train" in path or path.endswith(".bin") for path in asked)
    assert f"dataset openai/gsm8k@{COMMIT}: 2 files, " in done.stdout
    assert f"2 repositories, 0.00 GB, are in {tmp_path}/home/hub" in done.stdout
    record = json.loads((tmp_path / "fetched.json").read_text())
    assert [(entry["repo"], entry["files"], entry["bytes"]) for entry in record] == [
        ("openai/gsm8k", 2, len(ROWS) + len(CARD)),
        ("some-one/policy", 2, 2 + len(b"weights")),
    ]

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    folder = policy_folder("some-one/policy", COMMIT)
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    source = HubSource("hub", "openai/gsm8k", COMMIT, "gsm8k", "test")
    config = EvaluationDataConfig(source, "plain", "math")
    out = tmp_path / "gsm8k.jsonl", tmp_path / "gsm8k.json"
    prepare_evaluation_task("gsm8k", config, None, "", [], *out)
    assert [(problem.prompt, problem.answer) for problem in read_problems(out[0])] == [("1+2?", "3")]
    (entry,) = json.loads(out[1].read_text())["sources"]
    assert (entry["repo"], entry["revision"], entry["rows_read"]) == ("openai/gsm8k", COMMIT, 1)
    assert list(entry["files"]) == ["main/test-00000-of-00001.parquet"]


def test_a_lost_file_is_fetched_again(tmp_path):
    with serve({"datasets/openai/gsm8k": UPLOAD, "models/some-one/policy": POLICY}) as (address, _):
        run_fetch(tmp_path, address)
        snapshots = tmp_path / "home/hub/models--some-one--policy/snapshots" / COMMIT
        (snapshots / "model.safetensors").unlink()
        assert run_fetch(tmp_path, address).returncode == 0
        assert (snapshots / "model.safetensors").read_bytes() == b"weights"


def test_a_damaged_file_is_named_until_it_is_deleted(tmp_path):
    with serve({"datasets/openai/gsm8k": UPLOAD, "models/some-one/policy": POLICY}) as (address, _):
        run_fetch(tmp_path, address)
        folder = tmp_path / "home/hub/datasets--openai--gsm8k/snapshots" / COMMIT
        blob = (folder / "main/test-00000-of-00001.parquet").resolve()
        blob.write_bytes(ROWS[:9])
        again = run_fetch(tmp_path, address)
        assert again.returncode == 1
        assert f"has 9 bytes instead of {len(ROWS)}: delete {blob}" in again.stderr
        blob.unlink()
        assert run_fetch(tmp_path, address).returncode == 0
        assert (folder / "main/test-00000-of-00001.parquet").read_bytes() == ROWS


def test_a_cache_without_a_listing_gets_one(tmp_path):
    """As that of an older hub client, whose data sets no job reads."""
    with serve({"datasets/openai/gsm8k": UPLOAD, "models/some-one/policy": POLICY}) as (address, asked):
        run_fetch(tmp_path, address)
        trees = tmp_path / "home/hub/datasets--openai--gsm8k/trees"
        shutil.rmtree(trees)
        before = len(asked)
        assert run_fetch(tmp_path, address).returncode == 0
    assert list(trees.iterdir())
    assert not any("/resolve/" in path for path in asked[before:])


def test_a_repository_that_the_hub_does_not_have_is_named(tmp_path):
    with serve({"datasets/openai/gsm8k": UPLOAD}) as (address, _):
        done = run_fetch(tmp_path, address)
    assert done.returncode == 1
    assert f"error: model some-one/policy@{COMMIT} could not be fetched" in done.stderr
    assert "https://huggingface.co/some-one/policy" in done.stderr


def test_without_network_what_is_in_the_cache_is_enough_and_the_rest_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    store(
        tmp_path, "model", "some-one/policy", {"config.json": b"{}", "model.safetensors": b"w"}, list(POLICY)
    )
    screen = io.StringIO()
    fetch([NEEDS[1]], tmp_path / "fetched.json", screen)
    assert f"model some-one/policy@{COMMIT}: 2 files" in screen.getvalue()
    with pytest.raises(UserError, match=f"dataset openai/gsm8k@{COMMIT} could not be fetched: no network"):
        fetch(NEEDS, tmp_path / "none.json", screen)
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("cached", "missing"),
    [
        ({"config.json": b"{}"}, "model.safetensors"),
        (
            {
                "model-1.safetensors": b"w",
                "model.safetensors.index.json": b'{"weight_map": {"a": "model-1.safetensors", '
                b'"b": "model-2.safetensors"}}',
            },
            "model-2.safetensors",
        ),
    ],
)
def test_a_model_without_all_of_its_weights_is_not_called_fetched(tmp_path, monkeypatch, cached, missing):
    """What a fetch that was broken off has left, when there is no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    store(tmp_path, "model", "some-one/policy", cached, list(cached))
    with pytest.raises(UserError, match=f"the cache lacks {missing}, which could not be fetched"):
        fetch([NEEDS[1]], tmp_path / "none.json", io.StringIO())
    assert not (tmp_path / "none.json").exists()


def test_a_config_without_the_hub_says_so(tmp_path):
    screen = io.StringIO()
    fetch([], tmp_path / "fetched.json", screen)
    assert screen.getvalue() == "the config names nothing on the hub\n"
    assert json.loads((tmp_path / "fetched.json").read_text()) == []
