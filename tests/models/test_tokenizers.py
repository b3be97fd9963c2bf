import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import save_reference

from rlvr.data.families import CHARACTERS
from rlvr.errors import UserError
from rlvr.models.tokenizers import EOS_TOKEN, SmallTokenizer, byte_tokenizer, character_tokenizer

BYTES = byte_tokenizer()


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


@given(st.text())
def test_byte_tokenizer_is_utf8_and_round_trips(text):
    text = text.encode("utf-8", "ignore").decode()
    assert BYTES.encode(text) == list(text.encode())
    assert BYTES.decode(BYTES.encode(text), skip_special_tokens=True) == text


@pytest.mark.parametrize("text", [f"say {EOS_TOKEN} aloud", "a\r\n\tb  c", "e\u0301 is not é", "x" * 9000])
def test_byte_tokenizer_keeps_odd_text(text):
    assert BYTES.encode(text) == list(text.encode())
    assert BYTES.batch_decode([BYTES.encode(text), [256, 65, 257]], skip_special_tokens=True) == [text, "A"]


@pytest.mark.parametrize("make", [character_tokenizer, byte_tokenizer])
def test_auto_tokenizer_reads_the_same_beside_a_qwen2_config(tmp_path, make):
    from transformers import AutoTokenizer

    save_reference(tmp_path)
    ours = make()
    ours.save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "147+8=" if make is character_tokenizer else "It's 12\n\n  \\boxed{½} 'll €"
    assert len(theirs) == len(ours)
    assert (theirs.pad_token_id, theirs.eos_token_id) == (ours.pad_token_id, ours.eos_token_id)
    ids = ours.encode(text)
    assert theirs.encode(text) == ids
    assert theirs.decode([*ids, ours.eos_token_id], skip_special_tokens=True) == text


def test_only_our_own_folders_are_read_the_light_way(tmp_path):
    assert SmallTokenizer.read(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    assert SmallTokenizer.read(tmp_path) is None
    byte_tokenizer().save_pretrained(tmp_path)
    assert SmallTokenizer.read(tmp_path).encode("é") == [0xC3, 0xA9]
