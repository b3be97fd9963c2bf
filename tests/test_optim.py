"""AdamW against torch's own, and its rounding into 16-bit storage."""

import pytest
import torch

from rlvr.optim import AdamW

SETTINGS = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}


def _gradients(steps: int, shape: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator) * 10 ** (-step % 5) for step in range(steps)]


def test_fp32_equals_torch_bit_for_bit():
    start = torch.randn(37, 11, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    our_optimizer = AdamW([ours], **SETTINGS)
    their_optimizer = torch.optim.AdamW([theirs], foreach=False, fused=False, **SETTINGS)
    for gradient in _gradients(50, (37, 11)):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        our_optimizer.step()
        their_optimizer.step()
        assert torch.equal(ours, theirs)
    assert torch.equal(our_optimizer.state[ours]["exp_avg_sq"], their_optimizer.state[theirs]["exp_avg_sq"])


def test_bf16_storage_rounds_the_fp32_result_to_nearest():
    start = torch.randn(200, generator=torch.Generator().manual_seed(1)).bfloat16()
    weight = torch.nn.Parameter(start.clone())
    reference = torch.nn.Parameter(start.float())
    gradient = _gradients(1, (200,))[0].bfloat16()
    weight.grad, reference.grad = gradient, gradient.float()
    AdamW([weight], **SETTINGS).step()
    torch.optim.AdamW([reference], foreach=False, **SETTINGS).step()
    assert weight.dtype == torch.bfloat16
    assert torch.equal(weight.detach(), reference.detach().bfloat16())


def test_state_dtype_is_kept_and_restored_exactly():
    weight = torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    optimizer = AdamW([weight], lr=1e-3, state_dtype=torch.float32)
    for gradient in _gradients(3, (8,)):
        weight.grad = gradient.bfloat16()
        optimizer.step()
    assert optimizer.state[weight]["exp_avg"].dtype == torch.float32
    restored = AdamW([weight], lr=1e-3, state_dtype=torch.float32)
    restored.load_state_dict(optimizer.state_dict())
    for key in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(restored.state[weight][key], optimizer.state[weight][key])
        assert restored.state[weight][key].dtype == torch.float32
        assert restored.state[weight][key].data_ptr() != optimizer.state[weight][key].data_ptr()
    assert restored.state[weight]["step"] == 3


def test_small_updates_are_lost_in_bf16_and_kept_in_fp32():
    moved = {}
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.nn.Parameter(torch.ones(4, dtype=dtype))
        optimizer = AdamW([weight], lr=1e-4)
        for _ in range(10):
            weight.grad = torch.ones(4, dtype=dtype)
            optimizer.step()
        moved[dtype] = (weight.detach().float() - 1).abs().max().item()
    assert moved[torch.bfloat16] == 0.0
    assert moved[torch.float32] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    "bad", [{"lr": -1.0}, {"lr": 1.0, "betas": (1.0, 0.9)}, {"lr": 1.0, "write_back": "up"}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"AdamW needs|unknown write_back"):
        AdamW([torch.nn.Parameter(torch.ones(1))], **bad)
