"""Uploads of the usual data sets, in the hub's cache layout, become problems like local rows."""

import hashlib
import shutil

import pytest
from hub_cache import COMMIT, jsonl_bytes, parquet_bytes, store
from hub_uploads import PROCESSED, UPLOADS, VERIFIERS, dapo

from rlvr.config.sources import HubSource
from rlvr.data.hub_rows import load_hub_rows
from rlvr.data.hub_schemas import ROW_SCHEMAS
from rlvr.data.prepare import load_sources
from rlvr.data.rows import DataError
from rlvr.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def source(schema, repo="some-one/upload", split="test", **settings):
    return HubSource("hub", repo, COMMIT, schema, split, **settings)


def load(cache, schema, rows, verifier="math", kind=parquet_bytes, **settings):
    ending = "parquet" if kind is parquet_bytes else "jsonl"
    store(cache, "dataset", "some-one/upload", {f"test.{ending}": kind(rows)})
    return load_hub_rows(source(schema, **settings), "task", verifier)


@pytest.mark.parametrize("kind", [parquet_bytes, jsonl_bytes])
@pytest.mark.parametrize("upload", UPLOADS)
def test_the_columns_of_an_upload_become_a_problem(cache, upload, kind):
    schema, row, expected = UPLOADS[upload]
    loaded = load(cache, schema, [row], VERIFIERS.get(schema, "math"), kind)
    (problem,) = loaded.problems
    assert (problem.id, problem.prompt, problem.answer) == expected
    assert (problem.task, problem.verifier) == ("task", VERIFIERS.get(schema, "math"))


def test_every_schema_is_tried():
    assert {schema for schema, _, _ in UPLOADS.values()} == set(ROW_SCHEMAS)


def test_choices_and_programs_keep_what_their_verifiers_need(cache):
    (problem,) = load(cache, "mmlu", [UPLOADS["cais/mmlu"][1]], "choice").problems
    assert problem.metadata == {"choices": ["w", "x", "y", "z"]}
    row = UPLOADS["openai/openai_humaneval"][1]
    store(cache, "dataset", "a/programs", {"test.jsonl": jsonl_bytes([row])})
    (problem,) = load_hub_rows(source("humaneval", "a/programs"), "task", "code").problems
    assert problem.metadata == {"tests": row["test"], "entry_point": "f"}


def test_a_framed_text_of_dapo_is_a_bare_question(cache):
    rows = [PROCESSED | {"prompt": dapo("Find $x$.")["prompt"][0]["content"]}]
    assert load(cache, "dapo_math_17k", rows).problems[0].prompt == "Find $x$."


def test_a_box_without_braces_is_an_answer(cache):
    rows = [{"problem": "p", "solution": r"so it is $\boxed 2$."}]
    assert load(cache, "math", rows).problems[0].answer == "2"


def test_rows_are_numbered_through_all_files_of_a_subset(cache):
    def rows(*names):
        return parquet_bytes([{"problem": name, "solution": r"\boxed{1}"} for name in names])

    files = {
        "geometry/train-00001-of-00002.parquet": rows("c"),
        "geometry/train-00000-of-00002.parquet": rows("a", "b"),
        "geometry/test-00000-of-00001.parquet": rows("no"),
        "algebra/train-00000-of-00001.parquet": rows("d"),
    }
    store(cache, "dataset", "some-one/upload", files)
    loaded = load_hub_rows(source("math", split="train", subsets=("geometry", "algebra")), "dm", "math")
    assert [(problem.id, problem.prompt) for problem in loaded.problems] == [
        ("math/train/geometry/00000", "a"),
        ("math/train/geometry/00001", "b"),
        ("math/train/geometry/00002", "c"),
        ("math/train/algebra/00000", "d"),
    ]
    assert loaded.files == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if "test" not in name
    }


def test_repeated_rows_count_once_and_marked_and_excluded_ones_not_at_all(cache):
    rows = [
        dapo("a", index="1"),
        dapo("b", index="2"),
        dapo("a", index="1"),
        dapo("c", index="3", data_source=""),
        dapo("b", index="2"),
    ]
    settings = {"overlap_field": "data_source", "excluded_ids": ("dapo_math_17k/2",)}
    loaded = load(cache, "dapo_math_17k", rows, **settings)
    assert [problem.prompt for problem in loaded.problems] == ["c"]
    assert (loaded.rows_read, loaded.near_copies_dropped, loaded.excluded, loaded.repeats_dropped) == (
        5,
        1,
        1,
        2,
    )


def test_repeats_are_among_the_duplicates_of_the_manifest(cache):
    rows = [dapo("a", index="1"), dapo("a", index="1"), dapo(" A ", index="2")]
    store(cache, "dataset", "some-one/upload", {"test.parquet": parquet_bytes(rows)})
    loaded = load_sources([source("dapo_math_17k")], "dm", "math", "")
    assert [problem.id for problem in loaded.found.problems] == ["dapo_math_17k/1"]
    assert (loaded.facts["rows_read"], loaded.facts["duplicates_dropped"]) == (3, 2)


def test_excluded_rows_are_left_unread_and_must_exist(cache):
    rows = [{"problem": "p", "solution": r"\boxed{1}"}, {"problem": "q", "solution": "none"}]
    loaded = load(cache, "math", rows, excluded_ids=("math/test/00001",))
    assert [problem.prompt for problem in loaded.problems] == ["p"]
    with pytest.raises(DataError, match=r"upload@0123.*excluded_ids names rows that are not there: math/x"):
        load_hub_rows(source("math", excluded_ids=("math/test/00001", "math/x")), "task", "math")


def test_one_id_for_two_rows_is_refused(cache):
    rows = [{"id": "1", "question": "p", "answer": "1"}, {"id": "1", "question": "q", "answer": "1"}]
    with pytest.raises(DataError, match=r"test\.parquet:2: id 'amc23/1' is already that of another row"):
        load(cache, "amc23", rows)


def test_a_verifier_needs_its_columns(cache):
    rows = [UPLOADS["openai/gsm8k"][1]]
    with pytest.raises(DataError, match="verifier choice needs choices, which schema gsm8k lacks"):
        load(cache, "gsm8k", rows, "choice")
    with pytest.raises(DataError, match="verifier code needs tests, which schema gsm8k lacks"):
        load_hub_rows(source("gsm8k"), "task", "code")


def test_a_broken_file_is_named(cache):
    files = {"test.parquet": parquet_bytes([UPLOADS["openai/gsm8k"][1]])[:-9]}
    store(cache, "dataset", "some-one/upload", files)
    with pytest.raises(DataError, match=r"test\.parquet: no sound Parquet file"):
        load_hub_rows(source("gsm8k"), "task", "math")


def test_what_is_not_in_the_cache_names_the_command(cache):
    with pytest.raises(UserError, match="make fetch CONFIG=") as caught:
        load_hub_rows(source("gsm8k"), "task", "math")
    assert f"dataset some-one/upload@{COMMIT}" in str(caught.value)
    assert f"hf download some-one/upload --revision {COMMIT} --repo-type dataset" in str(caught.value)


def test_half_of_a_download_is_not_read(cache):
    rows = parquet_bytes([UPLOADS["openai/gsm8k"][1]])
    files = {name: rows for name in ("main/test-a.parquet", "main/test-b.parquet")}
    listed = ["README.md", *files, "main/train-a.parquet"]
    snapshot = store(cache, "dataset", "some-one/upload", {"README.md": b"no front matter"} | files, listed)
    (snapshot / "main/test-b.parquet").unlink()
    with pytest.raises(UserError, match=r"make fetch CONFIG=(.|\n)*main/test-b\.parquet"):
        load_hub_rows(source("gsm8k", subsets=("main",)), "task", "math")
    (snapshot / "main/test-b.parquet").write_bytes(rows)
    loaded = load_hub_rows(source("gsm8k", subsets=("main",)), "task", "math")
    assert [problem.id for problem in loaded.problems] == ["gsm8k/test/main/00000", "gsm8k/test/main/00001"]


def test_a_card_that_is_not_fetched_is_missed(cache):
    rows = parquet_bytes([UPLOADS["openai/gsm8k"][1]])
    store(cache, "dataset", "some-one/upload", {"test.parquet": rows}, ["README.md", "test.parquet"])
    with pytest.raises(UserError, match=r"make fetch CONFIG=(.|\n)*README\.md"):
        load_hub_rows(source("gsm8k"), "task", "math")


def test_a_file_that_was_copied_in_part_is_not_read(cache):
    """Cut off at the end of a line, where its rows do not say so."""
    rows = jsonl_bytes([UPLOADS["openai/gsm8k"][1]] * 2)
    snapshot = store(cache, "dataset", "some-one/upload", {"test.jsonl": rows})
    blob = (snapshot / "test.jsonl").resolve()
    blob.write_bytes(rows[: len(rows) // 2])
    with pytest.raises(UserError, match="make fetch CONFIG=") as caught:
        load_hub_rows(source("gsm8k"), "task", "math")
    assert f"test.jsonl has {len(rows) // 2} bytes instead of {len(rows)}: delete {blob}" in str(caught.value)
    blob.write_bytes(rows)
    assert load_hub_rows(source("gsm8k"), "task", "math").rows_read == 2


def test_a_cache_that_does_not_list_the_files_of_the_hub_is_not_read(cache):
    """It may hold one file of two, and nothing in it says so."""
    rows = parquet_bytes([UPLOADS["openai/gsm8k"][1]])
    snapshot = store(cache, "dataset", "some-one/upload", {"test-a.parquet": rows})
    shutil.rmtree(snapshot.parents[1] / "trees")
    with pytest.raises(UserError, match="make fetch CONFIG=") as caught:
        load_hub_rows(source("gsm8k"), "task", "math")
    assert f"there is no {snapshot.parents[1]}/trees/{COMMIT}.json, which lists all files" in str(
        caught.value
    )


def test_a_branch_is_refused_with_the_way_to_a_commit():
    with pytest.raises(UserError, match=r"git ls-remote https://huggingface\.co/datasets/openai/gsm8k HEAD"):
        load_hub_rows(HubSource("hub", "openai/gsm8k", "main", "gsm8k", "test"), "task", "math")
