"""The contract stops a run whose dtypes are not the mode's, and names the tensor."""

import pytest
import torch
from torch import nn

from rlvr.config.policy import ArchitectureConfig
from rlvr.models.decoder import Decoder
from rlvr.models.tiny import decoder_config, initialise
from rlvr.optim import AdamW
from rlvr.precision import MODES
from rlvr.training.dtype_contract import DtypeContract, DtypeMismatch, require_dtypes


def _model(dtype: torch.dtype) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3, dtype=dtype), nn.Linear(3, 1, dtype=dtype))


def test_parameters_of_another_dtype_are_named():
    model = _model(torch.float32)
    model[1].to(torch.bfloat16)
    with pytest.raises(
        DtypeMismatch, match=r"mode fp32: master should be float32, but 1\.weight is torch.bfloat16"
    ):
        DtypeContract(MODES["fp32"]).check_parameters(model)


def test_activations_are_seen_by_hooks_that_are_removed_again():
    model = _model(torch.bfloat16)
    contract = DtypeContract(MODES["bf16_mixed"])
    with contract.check_activations(model):
        model(torch.zeros(1, 2, dtype=torch.bfloat16))
    assert contract.realised == {"compute": "bfloat16"}
    assert not model[0]._forward_hooks
    with (
        pytest.raises(DtypeMismatch, match="compute should be float32, but output of 0 is"),
        DtypeContract(MODES["fp32"]).check_activations(model),
    ):
        model(torch.zeros(1, 2, dtype=torch.bfloat16))


def test_nothing_to_check_is_an_error():
    with pytest.raises(DtypeMismatch, match="no tensor to check for reduce"):
        DtypeContract(MODES["fp32"]).check_gradients(_model(torch.float32))


def test_every_kind_of_layer_of_the_decoder_is_watched(monkeypatch):
    shape = ArchitectureConfig(8, 1, 2, 1, 8, True, 0.1, 8)
    model = Decoder(decoder_config(shape, 8), torch.float32, torch.float32)
    initialise(model, 0.1, 0)
    contract, seen = DtypeContract(MODES["fp32"]), []
    monkeypatch.setattr(contract, "check", lambda _factor, _wanted, named: seen.extend(n for n, _ in named))
    with contract.check_activations(model):
        model(torch.zeros(1, 2, dtype=torch.long))
    layer, attention = "model.layers.0", "model.layers.0.self_attn"
    assert sorted(seen) == sorted(
        f"output of {name}"
        for name in (
            "model.embed_tokens", "model.norm", layer, f"{layer}.input_layernorm", attention,
            *(f"{attention}.{part}_proj" for part in "qkvo"), f"{layer}.post_attention_layernorm",
            f"{layer}.mlp", *(f"{layer}.mlp.{part}_proj" for part in ("gate", "up", "down")),
        )
    )  # fmt: skip


def _stepped(write_back: str = "nearest") -> tuple[nn.Parameter, AdamW]:
    parameter = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    parameter.grad = torch.ones_like(parameter)
    optimizer = AdamW([parameter], lr=1e-3, state_dtype=torch.bfloat16, write_back=write_back)
    optimizer.step()
    return parameter, optimizer


@pytest.mark.parametrize("key", ["exp_avg", "exp_avg_sq", "compensation"])
def test_state_of_another_dtype_is_named(key):
    parameter, optimizer = _stepped("kahan")
    contract = DtypeContract(MODES["bf16_kahan"])
    contract.check_optimizer(optimizer)
    optimizer.state[parameter][key] = optimizer.state[parameter][key].float()
    with pytest.raises(DtypeMismatch, match=rf"should be bfloat16, but {key} of parameter 0 is"):
        contract.check_optimizer(optimizer)


def test_gradients_of_another_dtype_are_named():
    model = _model(torch.float32)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    DtypeContract(MODES["fp32"]).check_gradients(model)
    with pytest.raises(DtypeMismatch, match=r"mode bf16: reduce should be bfloat16, but 0\.weight is"):
        DtypeContract(MODES["bf16"]).check_gradients(model)


def test_weights_that_are_scored_have_the_dtype_of_the_evaluation():
    require_dtypes("the engine", "evaluation", "float32", _model(torch.float32).named_parameters())
    with pytest.raises(DtypeMismatch, match=r"the engine: evaluation should be float32, but 0\.weight is"):
        require_dtypes("the engine", "evaluation", "float32", _model(torch.bfloat16).named_parameters())
