import json
import logging

import pytest

from rlvr.config.policy import FamilyExamples, JsonlExamples
from rlvr.data.families import is_held_out
from rlvr.errors import UserError
from rlvr.files import write_jsonl
from rlvr.models.tokenizers import byte_tokenizer, character_tokenizer
from rlvr.training.examples import open_examples

BYTES = byte_tokenizer()


def write_rows(path, count=7):
    rows = [{"id": str(i), "question": f"q{i}", "solution": f"s{i}", "copies": []} for i in range(count)]
    rows[1]["solution"] = "long" * 10
    rows[2]["copies"] = ["math500/3"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def file_examples(tmp_path, **changes):
    settings = {"path": "sft.jsonl", "template": "question_only", "max_tokens": 20, "overlap_field": "copies"}
    config = JsonlExamples(kind="jsonl", **settings | changes)
    return open_examples(config, BYTES, tmp_path, seed=0, max_positions=64)


def test_family_batches_depend_on_seed_and_step_only():
    config = FamilyExamples("families", {"add": 1.0, "rev": 1.0}, right=1.0, wrong_rule=0.0, slip=0.0)
    tokenizer = character_tokenizer()
    stream = open_examples(config, tokenizer, "", 3, 24)
    prompts, responses = stream.batch(5, 40)
    stream.batch(0, 40)
    assert stream.batch(5, 40) == (prompts, responses)
    assert stream.batch(6, 40) != (prompts, responses)
    assert open_examples(config, tokenizer, "", 4, 24).batch(5, 40) != (prompts, responses)
    for prompt, response in zip(prompts, responses, strict=True):
        text = tokenizer.decode(prompt)
        assert not is_held_out(text)
        assert response[-1] == tokenizer.eos_token_id
        label = tokenizer.decode(response[:-1])
        assert label == (text[2:-1][::-1] if text[0] == "r" else str(sum(map(int, text[:-1].split("+")))))


def test_examples_longer_than_the_model_are_refused():
    config = FamilyExamples("families", {"rev": 1.0}, right=1.0, wrong_rule=0.0, slip=0.0)
    with pytest.raises(UserError, match="max_positions is 8"):
        open_examples(config, character_tokenizer(), "", 0, 8).batch(0, 50)


def test_each_row_comes_once_an_epoch_in_a_new_order(tmp_path):
    write_rows(tmp_path / "sft.jsonl")
    stream = file_examples(tmp_path)
    texts = []
    for step in range(5):  # five rows are left, and 15 are asked for
        prompts, responses = stream.batch(step, 3)
        assert all(response[-1] == 257 for response in responses)
        texts += [BYTES.decode(p) + BYTES.decode(r[:-1]) for p, r in zip(prompts, responses, strict=True)]
    epochs = [texts[start : start + 5] for start in (0, 5, 10)]
    assert all(sorted(epoch) == ["q0s0", "q3s3", "q4s4", "q5s5", "q6s6"] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert stream.batch(2, 3) == file_examples(tmp_path).batch(2, 3)


def test_rows_left_out_are_counted(tmp_path, caplog):
    write_rows(tmp_path / "sft.jsonl")
    with caplog.at_level(logging.INFO):
        file_examples(tmp_path)
    assert "7 rows; left out: 1 near copies and 0 copies" in caplog.text
    assert "1 longer than 20 tokens; 5 used" in caplog.text


def test_evaluation_questions_are_left_out(tmp_path, caplog):
    write_rows(tmp_path / "sft.jsonl")
    problem = {
        "id": "e",
        "task": "val",
        "prompt": "Q3.",
        "answer": "other",
        "verifier": "math",
        "metadata": {},
    }
    write_jsonl(tmp_path / "val.jsonl", [problem])
    config = JsonlExamples("jsonl", "sft.jsonl", "question_only", 20, overlap_field="copies")
    with caplog.at_level(logging.INFO):
        stream = open_examples(config, BYTES, tmp_path, 0, 64, [tmp_path / "val.jsonl"])
    assert "1 near copies and 1 copies of evaluation problems" in caplog.text
    assert {BYTES.decode(prompt) for prompt in stream.batch(0, 4)[0]} == {"q0", "q4", "q5", "q6"}


def test_a_file_without_a_row_that_fits_is_refused(tmp_path):
    write_rows(tmp_path / "sft.jsonl")
    with pytest.raises(UserError, match=r"no row of sft\.jsonl has at most 2 tokens"):
        file_examples(tmp_path, max_tokens=2)
    with pytest.raises(UserError, match=r"other\.jsonl"):
        file_examples(tmp_path, path="other.jsonl")
