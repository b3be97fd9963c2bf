import json
from dataclasses import replace
from pathlib import Path

import pytest

from rlvr.errors import UserError
from rlvr.models.decoder import Decoder
from rlvr.models.decoder_config import DecoderConfig
from rlvr.plan.shapes import KNOWN_SHAPES, policy_shape, tensor_sizes
from rlvr.precision import torch_dtype

NOWHERE = Path("no-such-folder")
QWEN = DecoderConfig.from_hf(
    {
        "model_type": "qwen2",
        "vocab_size": 100,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 40,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    }
)


def hub(path):
    return {"kind": "pretrained", "path": path, "revision": "0" * 40}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("Qwen/Qwen2.5-Math-7B", 7_615_616_512), ("Qwen/Qwen2.5-Math-1.5B", 1_543_714_304)],
)
def test_the_sizes_known_by_name_give_the_published_numbers_of_parameters(name, parameters):
    assert policy_shape("base", hub(name), NOWHERE, None).parameters == parameters


@pytest.mark.parametrize(
    "sizes",
    [
        QWEN,
        replace(QWEN, tied_embeddings=False),
        replace(QWEN, head_dim=6),
        replace(QWEN, model_type="llama", qkv_bias=True, output_bias=True, mlp_bias=True),
        replace(QWEN, model_type="llama", qkv_bias=False),
    ],
)
def test_the_formula_counts_the_tensors_of_the_decoder(sizes):
    model = Decoder(sizes, torch_dtype("float32"), torch_dtype("float32"))
    assert sorted(tensor_sizes(sizes)) == sorted(p.numel() for p in model.parameters())


def test_the_config_of_the_built_policy_goes_before_the_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN.to_hf()))
    found = policy_shape("base", hub("Qwen/Qwen2.5-Math-7B"), tmp_path, None)
    assert found.sizes == QWEN
    assert found.folder == tmp_path


def test_a_config_that_is_named_goes_before_everything(tmp_path):
    named = tmp_path / "given.json"
    named.write_text(json.dumps(replace(QWEN, layers=1).to_hf()))
    (tmp_path / "config.json").write_text(json.dumps(QWEN.to_hf()))
    assert policy_shape("base", hub("a/b"), tmp_path, str(named)).sizes.layers == 1


def test_a_named_config_is_refused_for_a_policy_that_is_trained_here():
    with pytest.raises(UserError, match=r"--model-config: c\.json: .*base\.architecture"):
        policy_shape("base", {"kind": "tiny"}, NOWHERE, "c.json")


def test_an_unknown_policy_is_answered_with_what_to_give():
    with pytest.raises(UserError, match=r"alignment\.base\.path: the sizes of a/b") as answer:
        policy_shape("alignment.base", hub("a/b"), NOWHERE, None)
    assert "--model-config" in str(answer.value)
    assert all(name in str(answer.value) for name in KNOWN_SHAPES)


def test_a_folder_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"base\.path: no/such/folder: no such folder, and no hub id"):
        policy_shape("base", hub("no/such/folder"), NOWHERE, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "is not valid JSON"),
        ('{"model_type": "gpt2"}', "model_type gpt2"),
        ('{"model_type": "qwen2", "num_attention_heads": 4}', "has no 'vocab_size'"),
    ],
)
def test_a_config_json_that_cannot_be_used(tmp_path, text, said):
    file = tmp_path / "c.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=r"c\.json: ") as answer:
        policy_shape("base", hub("a/b"), NOWHERE, str(file))
    assert said in str(answer.value)
