import json

import pytest
import torch
from safetensors.torch import save_file

from rlvr.errors import UserError
from rlvr.models.weight_files import SHARD_INDEX
from rlvr.models.weights import copy_weights, read_weights, weight_hash, write_weights

WEIGHTS = {"b": torch.arange(6, dtype=torch.bfloat16).view(2, 3), "a": torch.tensor([1.5, -0.0])}


def test_hash_does_not_depend_on_the_order_of_names():
    assert weight_hash(WEIGHTS.items()) == weight_hash(reversed(WEIGHTS.items()))


@pytest.mark.parametrize(
    "change",
    [
        {"a": torch.tensor([1.5, 0.0])},  # the sign of zero
        {"a": torch.tensor([1.5, -0.0], dtype=torch.float64)},
        {"b": WEIGHTS["b"].view(3, 2)},
        {"c": torch.zeros(0)},
    ],
)
def test_hash_changes_with_any_bit_shape_or_name(change):
    assert weight_hash((WEIGHTS | change).items()) != weight_hash(WEIGHTS.items())


def test_hash_sees_values_and_not_memory_layout():
    square = torch.arange(9.0).view(3, 3)
    assert weight_hash([("a", square.T)]) == weight_hash([("a", square.T.contiguous())])


def test_weights_come_back_bit_for_bit(tmp_path):
    write_weights(WEIGHTS.items(), tmp_path)
    assert weight_hash(read_weights(tmp_path)) == weight_hash(WEIGHTS.items())


def test_shards_are_read_through_their_index(tmp_path):
    save_file({"a": WEIGHTS["a"]}, tmp_path / "model-1-of-2.safetensors")
    save_file({"b": WEIGHTS["b"]}, tmp_path / "model-2-of-2.safetensors")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (tmp_path / SHARD_INDEX).write_text(json.dumps(index))
    assert weight_hash(read_weights(tmp_path)) == weight_hash(WEIGHTS.items())
    (tmp_path / "model-2-of-2.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-2-of-2\.safetensors"):
        list(read_weights(tmp_path))


def test_folder_without_weights_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        list(read_weights(tmp_path))


def test_copy_casts_to_the_target():
    target = {"a": torch.zeros(2, dtype=torch.bfloat16)}
    copy_weights([("a", torch.tensor([1.0, 1.0 + 2**-9]))], target)
    assert target["a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "source, message",
    [
        ({}, "missing: a"),
        ({"a": torch.zeros(2), "z": torch.zeros(1)}, "z is not part"),
        ({"a": torch.zeros(3)}, "a has shape"),
    ],
)
def test_copy_wants_exactly_the_models_weights(source, message):
    with pytest.raises(UserError, match=message):
        copy_weights(source.items(), {"a": torch.zeros(2)})
