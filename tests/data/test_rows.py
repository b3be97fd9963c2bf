import gzip
import json

import pytest

from rlvr.config.sources import JsonlSource, SyntheticSource
from rlvr.data.rows import DataError, load_rows

GOOD = {"id": "a", "question": "1+1?", "answer": "2"}


def source(**fields):
    return JsonlSource(kind="jsonl", path="rows.jsonl", **fields)


def load(folder, rows, **fields):
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return load_rows(source(**fields), "task", "math", folder)


def test_rows_become_problems_with_nothing_but_what_is_needed(tmp_path):
    loaded = load(tmp_path, [{**GOOD, "solution": "long"}, b"", {**GOOD, "id": 7, "answer": -2.50}])
    first, second = loaded.problems
    assert (first.id, first.task, first.prompt, first.answer) == ("a", "task", "1+1?", "2")
    assert (first.verifier, dict(first.metadata)) == ("math", {})
    assert (second.id, second.answer) == ("7", "-2.5")
    assert (loaded.rows_read, loaded.near_copies_dropped, loaded.excluded) == (2, 0, 0)


def test_numbers_stay_as_they_are_written(tmp_path):
    loaded = load(tmp_path, [b'{"id": 1, "question": "q", "answer": 2.50}'])
    assert loaded.problems[0].answer == "2.50"


def test_gzip_and_other_field_names(tmp_path):
    row = {"key": "a", "prompt": "Frage é", "target": "2"}
    with gzip.open(tmp_path / "x.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    where = JsonlSource("jsonl", "x.jsonl.gz", id_field="key", prompt_field="prompt", answer_field="target")
    assert load_rows(where, "task", "math", tmp_path).problems[0].prompt == "Frage é"


def test_near_copies_are_dropped_and_counted(tmp_path):
    rows = [{**GOOD, "id": i, "near": near} for i, near in enumerate(([], ["aime24/1"], None, "", "x", 0))]
    loaded = load(tmp_path, rows, overlap_field="near")
    assert [problem.id for problem in loaded.problems] == ["0", "2", "3", "5"]
    assert (loaded.rows_read, loaded.near_copies_dropped) == (6, 2)


def test_excluded_ids_are_left_out_unread(tmp_path):
    loaded = load(tmp_path, [GOOD, {**GOOD, "id": "b", "answer": ""}], excluded_ids=("b",))
    assert [problem.id for problem in loaded.problems] == ["a"]
    assert (loaded.rows_read, loaded.excluded) == (2, 1)
    with pytest.raises(DataError, match=r"excluded_ids.*zz"):
        load(tmp_path, [GOOD], excluded_ids=("zz",))


PROGRAM = {**GOOD, "checks": "def check(candidate): ...", "name": "add"}


def test_tests_of_programs(tmp_path):
    fields = {"tests_field": "checks", "entry_point_field": "name"}
    found = load(tmp_path, [PROGRAM], **fields).problems[0].metadata
    assert found == {"tests": "def check(candidate): ...", "entry_point": "add"}
    with pytest.raises(DataError, match=r":1: name must be the name of a function, not '1 \+ 1'"):
        load(tmp_path, [{**PROGRAM, "name": "1 + 1"}], **fields)
    with pytest.raises(DataError, match=r"rows.jsonl:1: field 'checks' is missing"):
        load(tmp_path, [{**GOOD, "name": "add"}], **fields)
    with pytest.raises(DataError, match="tests_field and entry_point_field"):
        load_rows(source(tests_field="checks"), "task", "code", tmp_path)


def test_choices(tmp_path):
    row = {**GOOD, "options": ["1", 2, "3"], "answer": "C"}
    assert load(tmp_path, [row], choices_field="options").problems[0].metadata == {"choices": ["1", "2", "3"]}


BAD = [
    (b'{"id": "b", "question": ', {}, "malformed JSON"),
    (b'{"id": "b", "question": "q", "answer": NaN}', {}, "malformed JSON.*NaN"),
    (b"[1, 2]", {}, r"expected a JSON object, found '\[1, 2\]'"),
    (b"[" * 100_000, {}, "malformed JSON"),
    (b'{"id": "\xff"}', {}, "not UTF-8"),
    ({"id": "b", "question": "q"}, {}, "'answer' is missing; the row has id, question"),
    ({**GOOD, "id": "b", "answer": " \n"}, {}, "answer is empty"),
    ({**GOOD, "id": "b", "question": ""}, {}, "question is empty"),
    ({**GOOD, "id": ""}, {}, "id is empty"),
    ({**GOOD, "id": "b", "answer": True}, {}, "answer must be a string or a number, not true"),
    ({**GOOD, "id": "b", "answer": ["2"]}, {}, "answer must be a string or a number"),
    ({**GOOD, "id": "b", "question": "\ud800"}, {}, "surrogate"),
    (GOOD, {}, "id 'a' is already that of line 1"),
    ({**GOOD, "id": "b"}, {"overlap_field": "near"}, "'near' is missing"),
]


@pytest.mark.parametrize(("row", "fields", "message"), BAD)
def test_bad_rows_are_named_by_file_and_line(tmp_path, row, fields, message):
    with pytest.raises(DataError, match=rf"rows\.jsonl:3: .*{message}"):
        load(tmp_path, [{**GOOD, "near": []}, b"", row], **fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "D"}, "answer must be one of the letters ABC, not 'D'"),
        ({"answer": "AB"}, "answer must be one of the letters ABC, not 'AB'"),
        ({"options": "abc"}, "options must be a list of 2 to 26"),
        ({"options": ["only"]}, "options must be a list of 2 to 26"),
        ({"options": ["1", " "]}, r"options\[1\] is empty"),
    ],
)
def test_bad_choices(tmp_path, change, message):
    row = {**GOOD, "options": ["1", "2", "3"], "answer": "A", **change}
    with pytest.raises(DataError, match=rf"rows\.jsonl:1: {message}"):
        load(tmp_path, [row], choices_field="options")


def test_choice_verifier_needs_choices(tmp_path):
    with pytest.raises(DataError, match="choices_field"):
        load_rows(source(), "task", "choice", tmp_path)


def test_missing_file_names_data_root_and_the_way_out(tmp_path):
    with pytest.raises(DataError, match=r"rows\.jsonl is missing.*data_root is .*set data_root"):
        load_rows(source(), "task", "math", tmp_path)


def test_truncated_gzip_is_an_error_of_the_file(tmp_path):
    packed = gzip.compress(b"".join(json.dumps({**GOOD, "id": i}).encode() + b"\n" for i in range(500)))
    (tmp_path / "rows.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz: no complete gzip file"):
        load_rows(JsonlSource("jsonl", "rows.jsonl.gz"), "task", "math", tmp_path)


def test_synthetic_rows_take_task_and_verifier_of_the_data_set():
    loaded = load_rows(SyntheticSource("synthetic", "add", "train"), "plus", "math", "")
    assert {(problem.task, problem.verifier) for problem in loaded.problems} == {("plus", "math")}
    assert loaded.rows_read == len(loaded.problems)
