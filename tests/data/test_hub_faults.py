"""A row of a hub data set that cannot be used is named."""

import pytest
from hub_cache import COMMIT, parquet_bytes, store
from hub_uploads import UPLOADS, VERIFIERS, dapo

from rlvr.config.sources import HubSource
from rlvr.data.hub_rows import load_hub_rows
from rlvr.data.hub_schemas import DAPO_TAIL
from rlvr.data.rows import DataError

FAULTS = {
    "a column is missing": (
        "gsm8k",
        {"question": "p", "solution": "s"},
        "schema gsm8k misses column answer; the row has question, solution",
    ),
    "the nearest layout is meant": (
        "aime24",
        {"problem": "p", "answer": "1"},
        "misses column id; the row has",
    ),
    "a column inside a record": (
        "dapo_math_17k",
        dapo("q") | {"reward_model": {"style": "rule"}},
        "misses column reward_model.ground_truth",
    ),
    "no hashes": ("gsm8k", {"question": "p", "answer": "so 13"}, "the answer has no ####: 'so 13'"),
    "nothing behind them": ("gsm8k", {"question": "p", "answer": "x\n####"}, "answer is empty"),
    "no box": ("math", {"problem": "p", "solution": "none"}, "the solution states no \\boxed answer"),
    "an empty box": (
        "math",
        {"problem": "p", "solution": r"\boxed{}"},
        "the solution states no \\boxed answer",
    ),
    "no whole number": (
        "aime25",
        {"problem": "p", "answer": "3.5", "id": "1"},
        "the answer is no whole number: '3.5'",
    ),
    "no answer": (
        "math500",
        UPLOADS["HuggingFaceH4/MATH-500"][1] | {"answer": None},
        "answer must be a string",
    ),
    "no id": ("math500", UPLOADS["HuggingFaceH4/MATH-500"][1] | {"unique_id": ""}, "id is empty"),
    "an empty question": ("amc23", {"id": 0, "question": " ", "answer": "27"}, "question is empty"),
    "an index beyond the choices": (
        "mmlu",
        UPLOADS["cais/mmlu"][1] | {"answer": 4},
        "one of the letters ABCD",
    ),
    "a letter for an index": (
        "mmlu",
        UPLOADS["cais/mmlu"][1] | {"answer": "C"},
        "must be the index of a choice",
    ),
    "bytes for a text": (
        "math500",
        UPLOADS["HuggingFaceH4/MATH-500"][1] | {"problem": b"p"},
        "question must be a string or a number",
    ),
    "another frame": (
        "dapo_math_17k",
        dapo("q") | {"prompt": [{"content": "q", "role": "user"}]},
        "prompt lacks the words that frame every question of DAPO: 'q'",
    ),
    "a text with half of the frame": (
        "dapo_math_17k",
        dapo("q") | {"prompt": "q" + DAPO_TAIL},
        "prompt lacks the words that frame every question of DAPO: 'q",
    ),
    "a dialogue": (
        "dapo_math_17k",
        dapo("q") | {"prompt": [{"content": "q", "role": "user"}] * 2},
        "prompt must be a text or one chat message",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_row_is_named_with_repository_commit_file_and_row(tmp_path, monkeypatch, fault):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    schema, row, said = FAULTS[fault]
    store(tmp_path, "dataset", "some-one/upload", {"a/test-1.parquet": parquet_bytes([row])})
    source = HubSource("hub", "some-one/upload", COMMIT, schema, "test", ("a",))
    with pytest.raises(DataError) as caught:
        load_hub_rows(source, "task", VERIFIERS.get(schema, "math"))
    assert f"some-one/upload@{COMMIT}: a/test-1.parquet:1: " in str(caught.value)
    assert said in str(caught.value)
