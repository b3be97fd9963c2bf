"""The contract stops a run whose dtypes are not the mode's, and names the tensor."""

import pytest
import torch
from torch import nn

from rlvr.precision import MODES
from rlvr.training.dtype_contract import DtypeContract, DtypeMismatch


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
