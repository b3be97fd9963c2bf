"""AdamW against torch's own, its rounding into 16-bit storage, and what rounding loses."""

import copy
import math
import subprocess
import sys

import pytest
import torch

from rlvr import optim
from rlvr.optim import AdamW
from rlvr.training.metrics import second_moments_stuck

SETTINGS = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
SHAPES = ((37, 11), (5,), (60, 33), (3, 4, 5), (), (1,), (1, 701))
BF16 = torch.bfloat16


def _weights(dtype=torch.float32, shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def _set_gradients(weights, step):
    """Of very different sizes from step to step; every fourth (parameter, step) has none."""
    generator = torch.Generator().manual_seed(step)
    for index, weight in enumerate(weights):
        gradient = torch.randn(weight.shape, generator=generator) * 10.0 ** (-step % 5)
        weight.grad = None if (index + step) % 4 == 3 else gradient.to(weight.dtype)


def _train(optimizer, steps):
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for step in steps:
        _set_gradients(weights, step)
        optimizer.step()
    return weights


def _assert_same_state(one, other):
    assert one.state_dict()["state"].keys() == other.state_dict()["state"].keys()
    for index, state in one.state_dict()["state"].items():
        for key, value in state.items():
            restored = other.state_dict()["state"][index][key]
            if key == "step":
                assert restored == value
            else:
                assert restored.dtype == value.dtype
                assert torch.equal(restored, value)


def _groups(weights):
    return [
        {"params": weights[:3]},
        {"params": weights[3:], "lr": 1e-2, "betas": (0.8, 0.95), "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("bucket", [2**17, 100, 7], ids=lambda bucket: f"bucket{bucket}")
def test_fp32_equals_torch_bit_for_bit(foreach, bucket, monkeypatch):
    monkeypatch.setitem(optim._BUCKET_ELEMENTS, "cpu", bucket)
    ours = AdamW(_groups(_weights()), **SETTINGS)
    theirs = torch.optim.AdamW(_groups(_weights()), foreach=foreach, fused=False, **SETTINGS)
    for our, their in zip(_train(ours, range(20)), _train(theirs, range(20)), strict=True):
        assert torch.equal(our, their)
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(ours.state[our][key], theirs.state[their][key])


def test_fp32_of_transposed_weights_equals_torch(monkeypatch):
    monkeypatch.setitem(optim._BUCKET_ELEMENTS, "cpu", 64)
    start = torch.randn(30, 20, generator=torch.Generator().manual_seed(2))
    ours, theirs = (torch.nn.Parameter(start.clone().T) for _ in range(2))
    _train(AdamW([ours], **SETTINGS), range(10))
    _train(torch.optim.AdamW([theirs], **SETTINGS), range(10))
    assert torch.equal(ours, theirs)


def test_a_closure_is_computed_before_the_step_as_by_torch():
    ours, theirs = _weights(), _weights()

    def loss_of(weights):
        def closure():
            loss = sum(weight.square().sum() for weight in weights)
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.grad = gradient
            return loss

        return closure

    returned = AdamW(ours, **SETTINGS).step(loss_of(ours))
    assert returned == torch.optim.AdamW(theirs, **SETTINGS).step(loss_of(theirs))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", [BF16, torch.float16])
def test_sixteen_bit_storage_rounds_the_fp32_result_to_nearest(dtype):
    weights = _weights(dtype)
    references = [torch.nn.Parameter(weight.detach().float()) for weight in weights]
    optimizer = AdamW(weights, state_dtype=dtype, **SETTINGS)
    exact = torch.optim.AdamW(references, foreach=False, **SETTINGS)
    _set_gradients(weights, 0)
    for weight, reference in zip(weights, references, strict=True):
        reference.grad = None if weight.grad is None else weight.grad.float()
    optimizer.step()
    exact.step()
    for weight, reference in zip(weights, references, strict=True):
        assert torch.equal(weight.detach(), reference.detach().to(dtype))
        for key in ("exp_avg", "exp_avg_sq") if weight.grad is not None else ():
            assert optimizer.state[weight][key].dtype == dtype
            assert torch.equal(optimizer.state[weight][key], exact.state[reference][key].to(dtype))


def test_small_updates_are_lost_in_bf16_and_kept_in_fp32():
    moved = {}
    for dtype in (torch.float32, BF16):
        weight = torch.nn.Parameter(torch.ones(4, dtype=dtype))
        optimizer = AdamW([weight], lr=1e-4)
        for _ in range(10):
            weight.grad = torch.ones(4, dtype=dtype)
            optimizer.step()
        moved[dtype] = (weight.detach().float() - 1).abs().max().item()
    assert moved[BF16] == 0.0
    assert moved[torch.float32] == pytest.approx(1e-3, rel=1e-3)


STORAGES = [
    (torch.float32, torch.float32, "nearest"),
    (BF16, torch.float32, "nearest"),
    (BF16, BF16, "stochastic"),
    (BF16, torch.float32, "stochastic"),
    (BF16, BF16, "kahan"),
    (torch.float16, torch.float32, "kahan"),
]


@pytest.mark.parametrize(("dtype", "state_dtype", "write_back"), STORAGES)
def test_a_resumed_run_has_the_same_bits(dtype, state_dtype, write_back, monkeypatch):
    """And nothing depends on how the parameters are cut into buckets."""

    def optimizer(weights):
        chosen = {"state_dtype": state_dtype, "write_back": write_back, "seed": 4, "tracked": 9}
        return AdamW(weights, **chosen, **SETTINGS)

    straight = optimizer(_weights(dtype))
    _train(straight, range(8))
    first = optimizer(_weights(dtype))
    _train(first, range(5))
    second = optimizer([torch.nn.Parameter(weight.detach().clone()) for weight in first._index])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _assert_same_state(first, second)
    monkeypatch.setitem(optim._BUCKET_ELEMENTS, "cpu", 50)
    _train(second, range(5, 8))
    _assert_same_state(straight, second)
    for one, other in zip(straight._index, second._index, strict=True):
        assert torch.equal(one, other)
    assert second.lost_update() == straight.lost_update()


def test_loaded_state_is_a_copy():
    optimizer = AdamW(_weights(BF16), write_back="kahan", state_dtype=BF16, tracked=3, **SETTINGS)
    _train(optimizer, range(4))
    other = AdamW(_weights(BF16), write_back="kahan", state_dtype=BF16, tracked=3, **SETTINGS)
    saved = optimizer.state_dict()
    other.load_state_dict(saved)
    expected = copy.deepcopy(saved)["state"]
    _train(other, range(4, 6))
    for index, state in expected.items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(saved["state"][index][key]), torch.as_tensor(value))


def test_stochastic_rounding_follows_the_seed():
    runs = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        runs[name] = _train(AdamW(_weights(BF16), write_back="stochastic", seed=seed, **SETTINGS), range(3))
    same = [torch.equal(a, b) for a, b in zip(runs["one"], runs["again"], strict=True)]
    assert all(same)
    assert not torch.equal(runs["one"][0], runs["other"][0])


def test_noise_of_a_parameter_does_not_depend_on_the_others():
    """Index 2 gets the same stream whether or not the others have a gradient."""
    results = []
    for alone in (False, True):
        weights = _weights(BF16)
        optimizer = AdamW(weights, state_dtype=BF16, write_back="stochastic", **SETTINGS)
        for index, weight in enumerate(weights):
            if index == 2 or not alone:
                weight.grad = torch.full_like(weight, 0.37)
        optimizer.step()
        results.append((weights[2], optimizer.state[weights[2]]["exp_avg_sq"]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_stochastic_step_is_unbiased_in_weights_and_moments():
    """Mean over 2¹⁸ equal weights against the exact fp32 step: |z| ≤ 4.5, all three on non-bf16 results."""
    count = 2**18
    weight = torch.nn.Parameter(torch.full((count,), 0.02, dtype=BF16))
    exact = torch.nn.Parameter(weight.detach()[:1].float())
    optimizer = AdamW([weight], lr=1e-5, state_dtype=BF16, write_back="stochastic", seed=1)
    reference = torch.optim.AdamW([exact], lr=1e-5, weight_decay=0.0)
    weight.grad, exact.grad = torch.full_like(weight, 0.3), torch.full_like(weight[:1], 0.3).float()
    optimizer.step()
    reference.step()
    pairs = [(weight, exact)] + [
        (optimizer.state[weight][key], reference.state[exact][key]) for key in ("exp_avg", "exp_avg_sq")
    ]
    for rounded, wanted in pairs:
        values = rounded.detach().double()
        assert len(values.unique()) == 2
        assert abs(values.mean() - wanted.detach().double()) <= 4.5 * values.std() / math.sqrt(count)


@pytest.mark.parametrize("dtype", [BF16, torch.float16])
def test_kahan_keeps_a_sum_that_nearest_loses(dtype):
    moved = {}
    for write_back in ("nearest", "kahan"):
        weight = torch.nn.Parameter(torch.ones(4, dtype=dtype))
        optimizer = AdamW([weight], lr=1e-4, write_back=write_back)
        for _ in range(200):
            weight.grad = torch.ones(4, dtype=dtype)
            optimizer.step()
        moved[write_back] = 1 - weight.detach().float()
    spacing = torch.finfo(dtype).eps
    assert (moved["nearest"] == 0).all()
    assert (moved["kahan"] - 0.02).abs().max() <= spacing / 2
    rest = optimizer.state[weight]["compensation"]
    assert rest.dtype == dtype
    # Weight and buffer together: 200 roundings of the buffer, each by at most half its own spacing.
    assert (moved["kahan"] - rest.float() - 0.02).abs().max() <= 200 * spacing**2 / 4


def test_kahan_decays_weights():
    weight = torch.nn.Parameter(torch.ones(4, dtype=BF16))
    optimizer = AdamW([weight], lr=1e-3, weight_decay=0.1, write_back="kahan")
    for _ in range(500):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert (weight.detach().float() - 0.9999**500).abs().max() <= torch.finfo(BF16).eps


def test_bf16_second_moments_never_decay_at_beta_0_999():
    codes = torch.arange(0x0080, 0x7F80, dtype=torch.int16).view(BF16)  # every positive normal number
    assert torch.equal((codes.float() * 0.999).to(BF16), codes)
    stuck = {}
    for beta2 in (0.999, 0.99):
        weight = torch.nn.Parameter(torch.zeros(len(codes), dtype=BF16))
        optimizer = AdamW([weight], lr=0.0, betas=(0.9, beta2), state_dtype=BF16)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        optimizer.state[weight]["exp_avg_sq"].copy_(codes)
        optimizer.step()
        assert torch.equal(optimizer.state[weight]["exp_avg_sq"], codes) == (beta2 == 0.999)
        stuck[beta2] = second_moments_stuck(optimizer)
    assert stuck == {0.999: 1.0, 0.99: 0.0}


def test_second_moments_stuck_of_other_storages():
    assert math.isnan(second_moments_stuck(AdamW(_weights(), lr=1.0)))
    for state_dtype, write_back in ((torch.float32, "nearest"), (BF16, "stochastic")):
        optimizer = AdamW(_weights(BF16), state_dtype=state_dtype, write_back=write_back, **SETTINGS)
        _train(optimizer, range(2))
        assert second_moments_stuck(optimizer) == 0.0


def test_lost_update_is_the_share_that_rounding_took():
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0, 2**-10], dtype=BF16))
    optimizer = AdamW([weight], lr=1e-4, tracked=3)
    assert math.isnan(optimizer.lost_update())
    for _ in range(10):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    intended = optimizer.state[weight]["intended"]
    assert torch.allclose(intended, torch.full((3,), -1e-3), rtol=1e-5)
    third = weight[2].item() - 2**-10
    expected = math.sqrt((2 * 1e-3**2 + (-1e-3 - third) ** 2) / (3 * 1e-3**2))
    assert third != 0
    assert optimizer.lost_update() == pytest.approx(expected, rel=1e-4)


def test_intended_updates_include_decay_and_match_an_fp32_run():
    weights = _weights()
    start = [weight.detach().clone() for weight in weights]
    optimizer = AdamW(weights, tracked=10_000, **SETTINGS)
    _train(optimizer, range(10))
    for weight, before in zip(weights, start, strict=True):
        moved = (weight.detach() - before).flatten()
        assert torch.allclose(optimizer.state[weight]["intended"], moved, rtol=1e-4, atol=1e-5)
    assert optimizer.lost_update() < 1e-4


def test_tracking_changes_no_bit_and_follows_the_seed():
    plain = AdamW(_weights(BF16), write_back="stochastic", **SETTINGS)
    tracked = AdamW(_weights(BF16), write_back="stochastic", tracked=50, **SETTINGS)
    for one, other in zip(_train(plain, range(4)), _train(tracked, range(4)), strict=True):
        assert torch.equal(one, other)
    for parameter, places in tracked.tracked.places.items():
        if parameter.numel() <= 50:
            assert places.here is None
        else:
            assert len(places.here) == 50 == len(places.here.unique())
            assert places.here.max() < parameter.numel()
    other_seed = AdamW(_weights(BF16), tracked=50, seed=1, **SETTINGS)
    chosen = [next(iter(optimizer.tracked.places.values())).here for optimizer in (tracked, other_seed)]
    assert not torch.equal(*chosen)
    with pytest.raises(ValueError, match="tracked > 0"):
        plain.lost_update()


def test_lost_update_weighs_tensors_by_their_size():
    # The large tensor loses everything (bf16 ones, steps far below their spacing), the small one nothing.
    for tracked in (10, 10_000):
        small = torch.nn.Parameter(torch.zeros(10))
        large = torch.nn.Parameter(torch.ones(1_000).bfloat16())
        optimizer = AdamW([small, large], lr=1e-5, tracked=tracked)
        small.grad, large.grad = torch.ones(10), torch.ones(1_000).bfloat16()
        optimizer.step()
        assert optimizer.lost_update() == pytest.approx((1_000 / 1_010) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("other", [{"tracked": 20}, {"seed": 3}])
def test_state_with_other_tracked_weights_is_refused(other):
    saved = AdamW(_weights(), tracked=50, **SETTINGS)
    _train(saved, range(2))
    with pytest.raises(ValueError, match=r"saved state has \(tracked, seed\) \(50, 0\)"):
        AdamW(_weights(), **{"tracked": 50, **SETTINGS, **other}).load_state_dict(saved.state_dict())


# Synthetic Gate III: 2¹⁴ weights of N(0, 0.02²) that bf16 holds, lr 1e-6, gradients μ + N(0, 1) with
# μ ~ N(0, 0.1²), 400 steps. bench/gate_three.py measures it at full size and after 1,200 steps.
def _gate_three(dtype, state_dtype, write_back, count=2**14):
    generator = torch.Generator().manual_seed(7)
    start = (torch.randn(count, generator=generator) * 0.02).bfloat16()
    mean = torch.randn(count, generator=generator) * 0.1
    weight = torch.nn.Parameter(start.to(dtype, copy=True))
    optimizer = AdamW([weight], lr=1e-6, state_dtype=state_dtype, write_back=write_back, tracked=count)
    for _ in range(400):
        weight.grad = torch.randn(count, generator=generator).add_(mean).to(dtype)
        optimizer.step()
    intended = optimizer.state[weight]["intended"].double()
    rest = optimizer.state[weight].get("compensation", torch.zeros(()))
    applied = weight.detach().double() - start.double()
    changed = (weight.detach().bfloat16() != start).double().mean().item()
    return changed, *((move @ intended / (intended @ intended)).item() for move in (applied, applied + rest))


@pytest.mark.parametrize("state_dtype", [BF16, torch.float32])
def test_gate_three_plain_bf16_moves_about_2_percent_of_the_weights(state_dtype):
    assert 0.015 <= _gate_three(BF16, state_dtype, "nearest")[0] <= 0.023


def test_gate_three_fp32_masters_move_43_percent_as_seen_in_bf16():
    assert 0.41 <= _gate_three(torch.float32, torch.float32, "nearest")[0] <= 0.45


def test_gate_three_kahan_applies_what_is_intended():
    assert _gate_three(BF16, torch.float32, "kahan")[2] >= 0.99


def test_gate_three_stochastic_rounding_applies_what_is_intended():
    """2¹⁶ weights: rounding noise is twice the intended update, so that 2¹⁴ scatter by 0.015."""
    assert 0.97 <= _gate_three(BF16, torch.float32, "stochastic", 2**16)[1] <= 1.03


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"lr": -1.0}, "AdamW needs"),
        ({"lr": 1.0, "betas": (1.0, 0.9)}, "AdamW needs"),
        ({"lr": 1.0, "tracked": -1}, "AdamW needs"),
        ({"lr": 1.0, "write_back": "up"}, "unknown write_back 'up'; allowed: nearest, stochastic, kahan"),
        ({"lr": 1.0, "write_back": "stochastic"}, "parameter 0 is torch.float32.*allowed: torch.bfloat16$"),
        ({"lr": 1.0, "write_back": "kahan"}, "torch.float32.*allowed: torch.bfloat16, torch.float16"),
        ({"lr": 1.0, "state_dtype": torch.float64}, "state_dtype is torch.float64"),
        (
            {"lr": 1.0, "state_dtype": torch.float16, "write_back": "stochastic"},
            "state_dtype is torch.float16",
        ),
    ],
)
def test_bad_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        AdamW([torch.nn.Parameter(torch.ones(1))], **bad)


@pytest.mark.parametrize(("dtype", "write_back"), [(torch.float16, "stochastic"), (torch.float64, "nearest")])
def test_weights_that_cannot_be_written_back_are_refused(dtype, write_back):
    with pytest.raises(ValueError, match=f"parameter 0 is {dtype}"):
        AdamW([torch.nn.Parameter(torch.ones(1, dtype=dtype))], lr=1.0, write_back=write_back)


@pytest.mark.parametrize("other", [{"state_dtype": BF16}, {"write_back": "kahan"}])
def test_state_of_another_optimizer_is_refused(other):
    optimizer = AdamW(_weights(BF16), lr=1e-3)
    _train(optimizer, [0])
    with pytest.raises(ValueError, match="saved state of parameter 0"):
        AdamW(_weights(BF16), lr=1e-3, **other).load_state_dict(optimizer.state_dict())


def test_no_method_imports_the_compiler():
    program = """
import sys, torch
from rlvr.optim import AdamW
weight = torch.nn.Parameter(torch.ones(2))
optimizer = AdamW([weight], lr=1.0)
weight.grad = torch.ones(2)
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
