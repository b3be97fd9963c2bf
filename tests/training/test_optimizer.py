"""Policies and optimisers as a mode has them."""

from dataclasses import replace

import pytest
import torch
from small_models import save_reference

from rlvr.errors import UserError
from rlvr.precision import MODES, Dropout
from rlvr.training.optimizer import make_optimizer, trainable_policy

CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", ["fp32", "bf16_mixed", "bf16_fp32state", "bf16_kahan"])
def test_weights_gradients_and_moments_have_the_modes_dtypes(tmp_path, mode):
    mode = MODES[mode]
    save_reference(tmp_path)
    model = trainable_policy(str(tmp_path), mode, CPU)
    optimizer = make_optimizer(model, mode, 1e-2, (0.9, 0.95), 1e-8, 0.0, seed=1)
    before = model.model.embed_tokens.weight.detach().clone()
    model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    optimizer.step()
    weight = model.model.embed_tokens.weight
    assert not torch.equal(weight, before)
    assert weight.dtype == getattr(torch, mode.master)
    assert weight.grad.dtype == getattr(torch, mode.reduce)
    assert optimizer.state[weight]["exp_avg"].dtype == getattr(torch, mode.optimizer_state)
    assert ("compensation" in optimizer.state[weight]) == (mode.write_back == "kahan")
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.95)


def test_dropout_needs_the_decoder(tmp_path):
    save_reference(tmp_path, "gpt2")
    with pytest.raises(UserError, match="attention dropout, which only the decoder"):
        trainable_policy(str(tmp_path), replace(MODES["fp32"], dropout=Dropout(rate=0.1)), CPU)
