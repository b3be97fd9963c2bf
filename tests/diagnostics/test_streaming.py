"""Tensors of several policy folders side by side, and what their names say."""

import json

import pytest
import torch
from safetensors.torch import save_file

from rlvr.diagnostics.kinds import TensorKind, tensor_kind
from rlvr.diagnostics.streaming import stream_tensors
from rlvr.errors import UserError

WEIGHTS = {
    f"model.layers.{layer}.mlp.up_proj.weight": torch.full((3, 2), float(layer)) for layer in (0, 2, 10)
} | {"model.norm.weight": torch.ones(2, dtype=torch.bfloat16)}


def save_single(folder, weights):
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    return folder


def save_shards(folder, weights):
    """One shard a tensor, and the index that names them."""
    folder.mkdir()
    shards = {name: f"model-{index:05d}.safetensors" for index, name in enumerate(weights)}
    for name, shard in shards.items():
        save_file({name: weights[name]}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    return folder


def test_the_same_weights_come_from_one_file_and_from_shards_in_natural_order(tmp_path):
    folders = [save_single(tmp_path / "single", WEIGHTS), save_shards(tmp_path / "shards", WEIGHTS)]
    streamed = list(stream_tensors(folders))
    assert [name for name, _ in streamed] == list(WEIGHTS)
    for name, stored in streamed:
        assert len(stored) == 2
        for tensor in (own.read() for own in stored):
            assert tensor.dtype == WEIGHTS[name].dtype
            assert torch.equal(tensor, WEIGHTS[name])


def test_a_missing_and_an_additional_weight_are_named(tmp_path):
    whole = save_single(tmp_path / "whole", WEIGHTS)
    lacking = save_single(tmp_path / "lacking", {"model.norm.weight": torch.ones(2)})
    for folders in ([whole, lacking], [lacking, whole]):
        with pytest.raises(
            UserError, match=r"/lacking: no weight model\.layers\.0\.mlp\.up_proj\.weight, which .*/whole has"
        ):
            list(stream_tensors(folders))


def test_another_shape_is_named_before_anything_is_yielded(tmp_path):
    whole = save_single(tmp_path / "whole", WEIGHTS)
    other = save_single(tmp_path / "other", WEIGHTS | {"model.norm.weight": torch.ones(3)})
    with pytest.raises(UserError, match=r"/other: weight model\.norm\.weight has shape \(3,\); .*\(2,\)"):
        next(stream_tensors([whole, other]))


def test_a_folder_that_is_not_there_and_a_shard_that_is_not_there_are_named(tmp_path):
    whole = save_shards(tmp_path / "whole", WEIGHTS)
    with pytest.raises(UserError, match=r"/nowhere: no weights model\.safetensors"):
        next(stream_tensors([whole, tmp_path / "nowhere"]))
    (whole / "model-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"/whole: no weights model-00002\.safetensors"):
        next(stream_tensors([whole]))


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("model.embed_tokens.weight", None, "embedding"),
        ("lm_head.weight", None, "head"),
        ("model.norm.weight", None, "norm"),
        ("model.layers.0.input_layernorm.weight", 0, "norm"),
        ("model.layers.3.self_attn.q_norm.weight", 3, "norm"),
        ("model.layers.27.self_attn.q_proj.weight", 27, "q"),
        ("model.layers.27.self_attn.q_proj.bias", 27, "bias"),
        ("model.layers.1.self_attn.k_proj.weight", 1, "k"),
        ("model.layers.1.self_attn.v_proj.weight", 1, "v"),
        ("model.layers.1.self_attn.o_proj.weight", 1, "o"),
        ("model.layers.1.mlp.gate_proj.weight", 1, "gate"),
        ("model.layers.1.mlp.up_proj.weight", 1, "up"),
        ("model.layers.12.mlp.down_proj.weight", 12, "down"),
        ("transformer.h.0.attn.c_attn.weight", None, "other"),
        ("model.layers.1.self_attn.q_proj.weight_scale", 1, "other"),
    ],
)
def test_kind_of_a_weight(name, layer, kind):
    assert tensor_kind(name) == TensorKind(layer, kind)
