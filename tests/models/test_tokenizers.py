import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import save_reference

from rlvr.data.families import CHARACTERS
from rlvr.errors import UserError
from rlvr.models.tokenizers import (
    EOS_TOKEN,
    TAGS,
    SmallTokenizer,
    byte_tokenizer,
    character_tokenizer,
    tagged_tokenizer,
)
from rlvr.rollout.stopping import StopStrings
from rlvr.verify.prompted import question_only_reward, r1_zero_reward

BYTES = byte_tokenizer()
TAGGED = tagged_tokenizer()


def test_characters_are_numbered_as_the_default_study_needs():
    tokenizer = character_tokenizer()
    assert len(tokenizer) == 24
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)
    assert tokenizer.encode(CHARACTERS) == list(range(2, 24))
    assert tokenizer.encode("") == []


@given(st.text(alphabet=CHARACTERS))
def test_character_text_round_trips(text):
    tokenizer = character_tokenizer()
    assert tokenizer.decode([*tokenizer.encode(text), 1], skip_special_tokens=True) == text


def test_unknown_characters_are_named():
    with pytest.raises(UserError, match=r"'q', 'é' in 'q1é'"):
        character_tokenizer().encode("q1é")


def test_tags_follow_the_characters_one_token_each():
    assert len(TAGGED) == 31
    assert (TAGGED.pad_token_id, TAGGED.eos_token_id) == (0, 1)
    assert TAGGED.encode(CHARACTERS) == list(range(2, 24))
    assert [TAGGED.encode(tag) for tag in TAGS] == [[token] for token in range(24, 31)]
    assert [TAGGED.decode([token], skip_special_tokens=True) for token in range(24, 31)] == list(TAGS)
    assert TAGGED.encode("147+8=<think>") == [3, 6, 9, 12, 10, 14, 24]
    assert TAGGED.encode(r"5</think> <answer>\boxed{15}</answer>") == [7, 25, 26, 27, 29, 3, 7, 30, 28]


@given(st.lists(st.sampled_from([*CHARACTERS, *TAGS])).map("".join))
def test_tagged_text_round_trips_whatever_stands_next_to_a_tag(text):
    ids = TAGGED.encode(text)
    assert TAGGED.decode([*ids, 1], skip_special_tokens=True) == text
    tags = sum(text.count(tag) for tag in TAGS)
    assert len(ids) == tags + len(text) - sum(text.count(tag) * len(tag) for tag in TAGS)


def test_tagged_responses_are_read_by_the_rewards():
    ids = TAGGED.encode("7+8=15</think> <answer>155</answer>")
    assert r1_zero_reward(TAGGED.decode([*ids, 1], skip_special_tokens=True), "155")["reward"] == 1.0
    ids = TAGGED.encode(r"\boxed{155}")
    assert question_only_reward(TAGGED.decode([*ids, 1], skip_special_tokens=True), "155")["reward"] == 1.0


def test_an_answer_tag_stops_as_text_since_it_is_no_special_token():
    stop = StopStrings(TAGGED, ["</answer>"])
    assert (stop.texts, stop.token_ids) == (("</answer>",), frozenset())
    ids = TAGGED.encode("<answer>155</answer>")
    assert stop.places([ids[:-1], ids]) == [None, (11, 20)]


@pytest.mark.parametrize(
    ("text", "named"), [("<think", "'<', 'h', 'i', 'k' in"), ("1\n 2{", r"'\\n', '{' in"), ("é", "'é'")]
)
def test_characters_beside_the_tags_are_named(text, named):
    with pytest.raises(UserError, match=f"no token for {named}"):
        TAGGED.encode(text)


@given(st.text())
def test_byte_tokenizer_is_utf8_and_round_trips(text):
    text = text.encode("utf-8", "ignore").decode()
    assert BYTES.encode(text) == list(text.encode())
    assert BYTES.decode(BYTES.encode(text), skip_special_tokens=True) == text


@pytest.mark.parametrize("text", [f"say {EOS_TOKEN} aloud", "a\r\n\tb  c", "e\u0301 is not é", "x" * 9000])
def test_byte_tokenizer_keeps_odd_text(text):
    assert BYTES.encode(text) == list(text.encode())
    assert BYTES.batch_decode([BYTES.encode(text), [256, 65, 257]], skip_special_tokens=True) == [text, "A"]


AUTO_TEXTS = [
    (character_tokenizer, "147+8="),
    (byte_tokenizer, "It's 12\n\n  \\boxed{½} 'll €"),
    (tagged_tokenizer, r"147+8=<think>7+8=15</think> <answer>155</answer>  \boxed{1} }"),
]


@pytest.mark.parametrize(("make", "text"), AUTO_TEXTS)
def test_auto_tokenizer_reads_the_same_beside_a_qwen2_config(tmp_path, make, text):
    from transformers import AutoTokenizer

    save_reference(tmp_path)
    ours = make()
    ours.save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs) == len(ours)
    assert (theirs.pad_token_id, theirs.eos_token_id) == (ours.pad_token_id, ours.eos_token_id)
    ids = ours.encode(text)
    assert theirs.encode(text) == ids
    assert theirs.decode([*ids, ours.eos_token_id], skip_special_tokens=True) == text
    assert SmallTokenizer.read(tmp_path).encode(text) == ids


def test_only_our_own_folders_are_read_the_light_way(tmp_path):
    assert SmallTokenizer.read(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    assert SmallTokenizer.read(tmp_path) is None
    byte_tokenizer().save_pretrained(tmp_path)
    assert SmallTokenizer.read(tmp_path).encode("é") == [0xC3, 0xA9]
