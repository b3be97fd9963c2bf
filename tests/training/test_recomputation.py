"""Activations that are computed again give the same gradients as activations that were kept."""

import pytest
import torch
from small_models import save_reference
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from rlvr.errors import UserError
from rlvr.models.attention import AttentionDropout
from rlvr.models.label_scores import Scoring
from rlvr.models.loading import load_policy
from rlvr.models.recomputation import recompute_layers
from rlvr.precision import Dropout


def _tokens():
    ids = torch.randint(0, 258, (3, 12), generator=torch.Generator().manual_seed(0))
    return ids, ids.roll(-1, 1), torch.ones(3, 12, dtype=torch.bool)


def _gradients(model, passes=1, **settings):
    """Gradients of the weights after so many passes over the batch, and the scores of the last one."""
    model.zero_grad()
    scores = [model.label_scores(*_tokens(), Scoring(), **settings)[0] for _ in range(passes)]
    # All forwards stand before the first backward, as far from it as an order of calls can be.
    for log_probs in scores:
        log_probs.square().sum().backward()
    return [scores[-1].detach(), *(parameter.grad.clone() for parameter in model.parameters())]


def _kept_bytes(model):
    """Bytes of the activations that a forward keeps for the backward pass, weights apart."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = model.label_scores(*_tokens(), Scoring())  # alive until all addresses are counted
    del scores
    return sum(kept.values())


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_gradients_are_bitwise_equal_and_fewer_activations_are_kept(tmp_path, family):
    save_reference(tmp_path, family)
    model = load_policy(tmp_path, torch.float32, torch.float32)
    expected, kept = _gradients(model), _kept_bytes(model)
    recompute_layers(model)
    for found, wanted in zip(_gradients(model), expected, strict=True):
        assert torch.equal(found, wanted)
    assert _kept_bytes(model) < kept / 2


def test_dropout_draws_the_same_masks_again_and_goes_on_from_where_it_was(tmp_path):
    save_reference(tmp_path)
    model = load_policy(tmp_path, torch.float32, torch.float32)

    def with_dropout(passes):
        generator = torch.Generator().manual_seed(5)
        found = _gradients(model, passes, dropout=AttentionDropout(Dropout(rate=0.3), generator))
        return [*found, generator.get_state()]

    expected = {passes: with_dropout(passes) for passes in (1, 2)}
    recompute_layers(model)
    for passes, wanted in expected.items():
        for one, other in zip(with_dropout(passes), wanted, strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(expected[1][0], expected[2][0])  # a second pass draws other masks


def test_a_forward_without_gradients_is_computed_once(tmp_path):
    save_reference(tmp_path)
    model = load_policy(tmp_path, torch.float32, torch.float32)
    recompute_layers(model)
    calls = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model.label_scores(*_tokens(), Scoring())
    assert len(calls) == 1
    model.label_scores(*_tokens(), Scoring())[0].sum().backward()
    assert len(calls) == 3


def test_a_model_without_layers_is_refused():
    with pytest.raises(UserError, match=r"Linear has no layers.*recompute_activations to false"):
        recompute_layers(nn.Linear(2, 2))
