import json

import pytest
import torch
from hub_cache import COMMIT, store
from small_models import save_reference
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rlvr.errors import UserError
from rlvr.models.decoder import Decoder
from rlvr.models.loading import load_policy, load_tokenizer, policy_folder, read_config, save_policy
from rlvr.models.tokenizers import SmallTokenizer
from rlvr.models.weights import weight_hash

FP32, BF16 = torch.float32, torch.bfloat16
IDS = torch.tensor([[72, 105, 33], [10, 20, 30]])


@pytest.mark.parametrize("family, tied", [("qwen2", True), ("llama", False), ("gpt2", True)])
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_saved_policies_load_here_and_in_transformers(tmp_path, family, tied, dtype):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, target = tmp_path / "source", tmp_path / "target"
    save_reference(source, family, tie_word_embeddings=tied)
    target.mkdir()
    model = load_policy(source, dtype, dtype)
    save_policy(model, load_tokenizer(source), target, read_config(source))
    again = load_policy(target, dtype, dtype)
    assert weight_hash(again.named_parameters()) == weight_hash(model.named_parameters())
    theirs = AutoModelForCausalLM.from_pretrained(target, dtype="auto")
    assert theirs.dtype == dtype

    assert weight_hash(theirs.named_parameters()) == weight_hash(model.named_parameters())
    assert AutoTokenizer.from_pretrained(target).encode("Hi") == [72, 105]
    assert theirs.generation_config.eos_token_id == 257
    assert (target / "model.safetensors").stat().st_mode == (target / "config.json").stat().st_mode


def test_another_architecture_goes_through_transformers(tmp_path):
    reference = save_reference(tmp_path, "gpt2")
    model = load_policy(tmp_path, FP32, FP32)
    assert not isinstance(model, Decoder)
    assert not model.training
    assert torch.equal(model(IDS).logits, reference(IDS).logits)
    mixed = load_policy(tmp_path, FP32, BF16)
    assert {parameter.dtype for parameter in mixed.parameters()} == {FP32}
    assert dict(mixed.named_parameters()).keys() == dict(reference.named_parameters()).keys()


@pytest.mark.parametrize("master, compute", [(FP32, FP32), (FP32, BF16), (BF16, BF16)])
@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_logits_are_cast_where_asked(tmp_path, family, master, compute):
    save_reference(tmp_path, family)
    logits = {wide: load_policy(tmp_path, master, compute, wide)(IDS).logits for wide in (True, False)}
    assert logits[False].dtype == compute
    assert logits[True].dtype == FP32
    assert torch.equal(logits[True], logits[False].float())


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_all_ids_that_end_a_response_are_read_and_saved(tmp_path, family):
    source, target = tmp_path / "source", tmp_path / "target"
    save_reference(source, family, eos_token_id=5)
    edit(source / "generation_config.json", eos_token_id=[6, 7])
    target.mkdir()
    model = load_policy(source, FP32, FP32)
    assert model.end_ids == {5, 6, 7}
    save_policy(model, load_tokenizer(source), target, read_config(source))
    assert json.loads((target / "config.json").read_text())["eos_token_id"] == 5
    assert load_policy(target, FP32, FP32).end_ids == {5, 6, 7, 257}


@pytest.mark.parametrize("eos", [0, None])
def test_an_eos_of_zero_or_none(tmp_path, eos):
    save_reference(tmp_path)
    edit(tmp_path / "config.json", eos_token_id=eos)
    (tmp_path / "generation_config.json").unlink()
    model = load_policy(tmp_path, FP32, FP32)
    assert model.end_ids == ({0} if eos == 0 else set())
    save_policy(model, load_tokenizer(tmp_path), tmp_path, read_config(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] == (0 if eos == 0 else 257)


def edit(path, **changes):
    facts = json.loads(path.read_text())
    facts.update(changes)
    path.write_text(json.dumps(facts))


def test_tokenizer_without_pad_pads_with_eos(tmp_path):
    save_reference(tmp_path, "gpt2")
    edit(tmp_path / "tokenizer_config.json", rlvr_small_tokenizer=False, pad_token=None)
    tokenizer = load_tokenizer(tmp_path)
    assert not isinstance(tokenizer, SmallTokenizer)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 257


def test_tokenizer_without_eos_is_refused(tmp_path):
    save_reference(tmp_path, "llama")
    edit(
        tmp_path / "tokenizer_config.json",
        rlvr_small_tokenizer=False,
        eos_token=None,
        tokenizer_class="PreTrainedTokenizerFast",
    )
    with pytest.raises(UserError, match="end-of-sequence"):
        load_tokenizer(tmp_path)


def test_a_folder_without_the_files_of_its_tokenizer_is_named(tmp_path):
    save_reference(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="no tokenizer with tokens for text"):
        load_tokenizer(tmp_path)


def test_a_model_of_more_than_text_is_refused(tmp_path):
    save_reference(tmp_path, "gpt2")
    edit(tmp_path / "tokenizer_config.json", rlvr_small_tokenizer=False)
    facts = read_config(tmp_path)
    del facts["vocab_size"]
    (tmp_path / "config.json").write_text(json.dumps(facts | {"text_config": {"vocab_size": 258}}))
    with pytest.raises(UserError, match=r"config\.json: has no vocab_size \(model_type gpt2\)"):
        load_tokenizer(tmp_path)


def test_a_config_that_is_cut_off_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(UserError, match=r"config\.json: is not valid JSON"):
        read_config(tmp_path)


def test_a_hub_id_without_revision_is_refused():
    with pytest.raises(UserError, match="pin its revision"):
        policy_folder("Qwen/Qwen2.5-Math-1.5B")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_policy_of_the_hub_is_read_from_the_cache(cache):
    listed = ["config.json", "model.safetensors", "pytorch_model.bin"]
    files = {"config.json": b"{}", "model.safetensors": b"weights"}
    snapshot = store(cache, "model", "some-one/policy", files, listed)
    assert policy_folder("some-one/policy", COMMIT) == snapshot


def test_a_policy_that_is_not_or_half_in_the_cache_says_how_to_fetch_it(cache):
    command = f"hf download some-one/policy --revision {COMMIT}"
    with pytest.raises(UserError, match=f"make fetch CONFIG=(.|\\n)*{command}"):
        policy_folder("some-one/policy", COMMIT)
    listed = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    store(cache, "model", "some-one/policy", {listed[0]: b"{}", listed[1]: b"weights"}, listed)
    with pytest.raises(UserError, match=f"{command}(.|\\n)*model-00002-of-00002"):
        policy_folder("some-one/policy", COMMIT)


def test_a_branch_of_a_policy_is_refused():
    with pytest.raises(UserError, match=r"git ls-remote https://huggingface\.co/some-one/policy HEAD"):
        policy_folder("some-one/policy", "main")


def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder, and no hub id"):
        policy_folder(tmp_path / "nothing", COMMIT)


def test_a_folder_that_is_no_policy_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        load_policy(tmp_path, FP32, FP32)


def test_a_pad_token_that_the_model_has_no_row_for_is_replaced_by_eos(tmp_path):
    words = {"a": 0, "b": 1, "<unk>": 2, "<eos>": 3}
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>")
    save_reference(tmp_path, tokenizer=tokenizer, vocab_size=4, eos_token_id=3, pad_token_id=None)
    # What transformers makes of it: a pad token that it adds itself, one beyond the vocabulary.
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token_id == 4
    assert load_tokenizer(tmp_path).pad_token_id == 3
    edit(tmp_path / "config.json", vocab_size=3)
    with pytest.raises(UserError, match="no end-of-sequence token among the model's 3 tokens"):
        load_tokenizer(tmp_path)
