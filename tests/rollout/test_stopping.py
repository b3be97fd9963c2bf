import pytest

from rlvr.errors import UserError
from rlvr.models.tokenizers import byte_tokenizer
from rlvr.rollout.stopping import StopStrings

TOKENIZER = byte_tokenizer()


def end(text, stop):
    return StopStrings(TOKENIZER, stop).ends([TOKENIZER.encode(text)])[0]


@pytest.mark.parametrize(
    "text, stop, expected",
    [
        ("abc", ["c"], 3),
        ("abc", ["bc", "c"], 3),
        ("abc", ["ab"], None),  # was completed before the last token
        ("abab", ["ab"], 4),
        ("ab", ["abc"], None),
        ("a", ["a"], 1),
        ("price: 5€", ["€"], 9),
        ("x", [], None),
    ],
)
def test_a_stop_string_counts_when_the_last_token_completes_it(text, stop, expected):
    assert end(text, stop) == expected


def test_half_a_character_is_no_text():
    half = TOKENIZER.encode("5€")[:-1]
    stop = StopStrings(TOKENIZER, ["5", "€"])
    assert stop.ends([half[:1], half, TOKENIZER.encode("5€")]) == [1, None, 2]


def test_the_window_is_wide_enough():
    stop = StopStrings(TOKENIZER, ["</answer>"])
    text = TOKENIZER.encode("long text before it €€€ </answer>")
    assert stop.ends([text[-stop.window :]])[0] is not None


def test_an_empty_stop_string_is_refused():
    with pytest.raises(UserError, match="empty stop string"):
        StopStrings(TOKENIZER, ["a", ""])
