from pathlib import Path

import pytest

from rlvr.config.load import load_config
from rlvr.errors import UserError
from rlvr.models.tokenizers import PAD_TOKEN, byte_tokenizer
from rlvr.rollout.stopping import StopStrings

TOKENIZER = byte_tokenizer()


def place(text, stop):
    return StopStrings(TOKENIZER, stop).places([TOKENIZER.encode(text)])[0]


@pytest.mark.parametrize(
    "text, stop, expected",
    [
        ("abc", ["c"], (2, 3)),
        ("abc", ["c", "bc"], (1, 3)),
        ("abc", ["ab"], None),  # was completed before the last token
        ("abab", ["ab"], (2, 4)),
        ("ab", ["abc"], None),
        ("a", ["a"], (0, 1)),
        ("price: 5€", ["€"], (8, 9)),
        ("x", [], None),
    ],
)
def test_a_stop_string_counts_when_the_last_token_completes_it(text, stop, expected):
    assert place(text, stop) == expected


def test_half_a_character_is_no_text():
    half = TOKENIZER.encode("5€")[:-1]
    stop = StopStrings(TOKENIZER, ["5", "€"])
    assert stop.places([half[:1], half, TOKENIZER.encode("5€")]) == [(0, 1), None, (1, 2)]


def test_the_window_is_wide_enough():
    stop = StopStrings(TOKENIZER, ["</answer>"])
    text = TOKENIZER.encode("long text before it €€€ </answer>")
    assert stop.places([text[-stop.window :]])[0] is not None


def test_an_empty_stop_string_is_refused():
    with pytest.raises(UserError, match="empty stop string"):
        StopStrings(TOKENIZER, ["a", ""])


def test_special_tokens_are_told_apart_from_text(tmp_path):
    from transformers import PreTrainedTokenizerFast

    ours = byte_tokenizer()
    ours.save_pretrained(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    theirs.add_tokens(["<think>"])  # added, yet not special: it is part of the text
    # "\u00a1" and "\u0120" are how tokens of the byte-level alphabet are spelled inside.
    stops = [PAD_TOKEN, "a", "\u00a1", "\u0120", "a" + PAD_TOKEN, "<think>"]
    for tokenizer in (ours, theirs):
        stop = StopStrings(tokenizer, stops)
        assert stop.token_ids == {256}
        assert stop.texts == tuple(stops[1:])
    assert StopStrings(theirs, stops).places([theirs.encode("b<think>")]) == [(1, 8)]


def test_qwen_math_ends_at_the_end_of_its_turn():
    """In the config of the source's model, every task whose prompt is a chat template stops at <|im_end|>."""
    config = load_config(Path(__file__).parents[2] / "config" / "qwen2.5-math-7b.yaml")
    assert config["precision"]["training"]["sampling"]["stop"] == ["<|im_end|>"]
    for name, task in config["precision"]["evaluation"]["tasks"].items():
        template = config["data"]["evaluation"][name]["template"]
        if template == "plain":  # a program, which ends where the next thing begins
            assert "\ndef" in task["stop"] and not task["keep_stop"]
            continue
        chat = template == "qwen_math_boxed"
        assert task["stop"] == (["<|im_end|>"] if chat else []), name
