"""Losses and microbatch steps against loops in float64 and worked values."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlvr.advantages.groups import group_advantages
from rlvr.objectives import (
    compute_group_normalized_rewards,
    compute_grpo_clip_loss,
    compute_gspo_loss,
    compute_naive_policy_gradient_loss,
    compute_policy_gradient_loss,
    grpo_microbatch_train_step,
    importance_weights,
    masked_mean,
    masked_normalize,
    sft_microbatch_train_step,
)

NAN = float("nan")


def _batch(rows=4, length=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    log_probs = -torch.rand(rows, length, generator=generator, dtype=torch.float64)
    old = log_probs + 0.4 * torch.randn(rows, length, generator=generator, dtype=torch.float64)
    advantages = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    mask = torch.rand(rows, length, generator=generator) < 0.6
    mask[0] = False
    return log_probs, old, advantages, mask


def test_masked_reductions():
    values = torch.tensor([[1.0, 2.0, NAN], [4.0, NAN, 6.0]])
    mask = torch.tensor([[True, True, False], [True, False, True]])
    assert masked_normalize(values, mask, normalize_constant=2.0).item() == 6.5
    assert masked_normalize(values, mask, 1).tolist() == [3.0, 10.0]
    assert masked_mean(values, mask, 0).tolist() == [2.5, 2.0, 6.0]
    assert masked_mean(values, mask).item() == 3.25
    assert math.isnan(masked_mean(values, torch.zeros_like(mask)).item())
    with pytest.raises(ValueError, match="boolean"):
        masked_mean(values, mask.float())


def test_group_advantages_worked_values():
    rewards = torch.tensor([1.0, -1.0, -1.0, -1.0, 0.7, 0.7, 0.7, 0.7])
    got = group_advantages(rewards, 4, eps=0.0, normalize_by_std=True)
    torch.testing.assert_close(got, torch.tensor([1.5, -0.5, -0.5, -0.5, 0, 0, 0, 0]))
    plain = group_advantages(rewards, 4, eps=0.0, normalize_by_std=False)
    torch.testing.assert_close(plain, torch.tensor([1.5, -0.5, -0.5, -0.5, 0, 0, 0, 0]))


def test_equal_rewards_give_exactly_zero():
    assert (
        group_advantages(torch.full((12,), 0.7), 12, eps=1e-6, normalize_by_std=True).tolist() == [0.0] * 12
    )
    assert group_advantages(torch.tensor([0.3]), 1, eps=1e-6, normalize_by_std=True).tolist() == [0.0]
    assert group_advantages(torch.tensor([0.3]), 1, eps=1e-6, normalize_by_std=False).tolist() == [0.0]


@given(
    rewards=st.lists(st.integers(-8, 8), min_size=6, max_size=6),
    shift=st.integers(-8, 8),
    order=st.permutations(range(6)),
)
def test_advantages_ignore_a_shift_and_follow_a_permutation(rewards, shift, order):
    rewards = torch.tensor(rewards, dtype=torch.float64)
    settings = {"eps": 1e-6, "normalize_by_std": True}
    base = group_advantages(rewards, 6, **settings)
    torch.testing.assert_close(group_advantages(rewards + shift, 6, **settings), base)
    torch.testing.assert_close(group_advantages(rewards[list(order)], 6, **settings), base[list(order)])


def test_group_rewards_score_once_and_check_lengths():
    calls = []

    def reward(response, truth):
        calls.append(response)
        return {"reward": float(response == truth)}

    advantages, rewards, metadata = compute_group_normalized_rewards(
        reward, ["a", "b", "c", "c"], ["a", "a", "c", "c"], 2, 1e-6, True
    )
    assert calls == ["a", "b", "c", "c"]
    assert rewards.tolist() == [1, 0, 1, 1]
    torch.testing.assert_close(advantages, torch.tensor([0.5, -0.5, 0, 0]) / (math.sqrt(0.5) + 1e-6) * 1.0)
    assert metadata["groups_without_variance"] == 1
    with pytest.raises(ValueError, match="groups of 3"):
        compute_group_normalized_rewards(reward, ["a"] * 4, ["a"] * 4, 3, 1e-6, True)
    with pytest.raises(ValueError, match="3 repeated_ground_truths"):
        compute_group_normalized_rewards(reward, ["a"] * 4, ["a"] * 3, 2, 1e-6, True)


@pytest.mark.parametrize("cliprange", [0.2, (0.2, 0.28)])
def test_clip_loss_against_a_loop(cliprange):
    log_probs, old, advantages, _ = _batch()
    low, high = cliprange if isinstance(cliprange, tuple) else (cliprange, cliprange)
    loss, metadata = compute_grpo_clip_loss(advantages, log_probs, old, cliprange)
    for row in range(4):
        for position in range(6):
            advantage = advantages[row, 0].item()
            ratio = math.exp(log_probs[row, position] - old[row, position])
            plain, clipped = ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage
            assert loss[row, position].item() == pytest.approx(-min(plain, clipped), abs=1e-12)
            assert metadata["is_clipped"][row, position].item() == (clipped < plain)


def test_loss_types():
    log_probs, old, advantages, _ = _batch()
    rewards = advantages + 1
    naive, _ = compute_policy_gradient_loss(log_probs, "no_baseline", raw_rewards=rewards)
    assert torch.equal(naive, compute_naive_policy_gradient_loss(rewards, log_probs))
    baseline, _ = compute_policy_gradient_loss(log_probs, "reinforce_with_baseline", advantages=advantages)
    assert torch.equal(baseline, -advantages * log_probs)
    unclipped, _ = compute_policy_gradient_loss(
        log_probs, "grpo_no_clip", advantages=advantages, old_log_probs=old
    )
    torch.testing.assert_close(unclipped, -(log_probs - old).exp() * advantages)


@pytest.mark.parametrize(
    ("loss_type", "given", "missing"),
    [
        ("no_baseline", {}, "raw_rewards"),
        ("reinforce_with_baseline", {"raw_rewards": 1}, "advantages"),
        ("grpo_no_clip", {"advantages": 1}, "old_log_probs"),
        ("grpo_clip", {"advantages": 1, "old_log_probs": 1}, "cliprange"),
        ("ppo", {}, "unknown loss_type 'ppo'"),
    ],
)
def test_what_is_missing_is_named(loss_type, given, missing):
    with pytest.raises(ValueError, match=missing):
        compute_policy_gradient_loss(torch.zeros(1, 1), loss_type, **given)


def test_sft_step_value_and_gradient():
    log_probs, _, _, mask = _batch()
    log_probs.requires_grad_()
    loss, _ = sft_microbatch_train_step(log_probs, mask, 4, normalize_constant=2.0)
    expected = -sum(log_probs[mask].tolist()) / 4 / 2.0 / 4
    assert loss.item() == pytest.approx(expected)
    torch.testing.assert_close(log_probs.grad, -mask.double() / 32)


@pytest.mark.parametrize("normalization", ["masked_mean", "masked_normalize"])
def test_grpo_step_against_a_loop_and_finite_differences(normalization):
    log_probs, old, advantages, mask = _batch(seed=5)
    log_probs.requires_grad_()
    settings = {"length_normalization": normalization, "normalize_constant": 3.0}

    def run(values):
        return grpo_microbatch_train_step(
            values, mask, 2, "grpo_clip", advantages=advantages, old_log_probs=old, cliprange=0.2, **settings
        )

    loss, metadata = run(log_probs)
    token_losses, _ = compute_grpo_clip_loss(advantages, log_probs.detach(), old, 0.2)
    rows = []
    for losses, row_mask in zip(token_losses, mask, strict=True):
        kept = losses[row_mask].tolist()
        divisor = 3.0 if normalization == "masked_normalize" else max(len(kept), 1)
        rows.append(sum(kept) / divisor)
    assert loss.item() == pytest.approx(sum(rows) / 4 / 2)
    assert metadata["empty_responses"].item() == 1
    step = 1e-6
    for row, position in [(1, 0), (2, 3), (3, 5)]:
        shifted = log_probs.detach().clone()
        shifted[row, position] += step
        above, _ = run(shifted.requires_grad_())
        slope = (above - loss).item() / step
        assert log_probs.grad[row, position].item() == pytest.approx(slope, abs=1e-5)


def test_uneven_microbatches_add_up_to_the_whole_batch():
    log_probs, _, advantages, mask = _batch(rows=5)
    grads = []
    for cuts in ([5], [2, 2, 1]):
        values = log_probs.clone().requires_grad_()
        for part in torch.arange(5).split(cuts):
            grpo_microbatch_train_step(
                values[part],
                mask[part],
                5 / len(part),
                "reinforce_with_baseline",
                advantages=advantages[part],
            )
        grads.append(values.grad)
    torch.testing.assert_close(*grads)


def test_nan_outside_the_mask_is_harmless_and_inside_an_error():
    log_probs, old, advantages, mask = _batch()
    clean = log_probs.clone().requires_grad_()
    dirty = torch.where(mask, log_probs, torch.full_like(log_probs, NAN)).requires_grad_()
    dirty_old = torch.where(mask, old, torch.full_like(old, NAN))
    arguments = {"advantages": advantages, "cliprange": 0.2}
    loss, _ = grpo_microbatch_train_step(clean, mask, 1, "grpo_clip", old_log_probs=old, **arguments)
    same, _ = grpo_microbatch_train_step(dirty, mask, 1, "grpo_clip", old_log_probs=dirty_old, **arguments)
    assert loss.item() == same.item()
    assert torch.equal(clean.grad, dirty.grad)
    broken = log_probs.clone()
    broken[mask] = NAN
    with pytest.raises(ValueError, match="NaN under the mask"):
        grpo_microbatch_train_step(
            broken.requires_grad_(), mask, 1, "reinforce_with_baseline", advantages=advantages
        )
    with pytest.raises(ValueError, match="boolean"):
        grpo_microbatch_train_step(clean, mask.int(), 1, "reinforce_with_baseline", advantages=advantages)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_importance_weights_against_a_loop(level):
    generator = torch.Generator().manual_seed(3)
    policy = -torch.rand(5, 6, generator=generator) * 3
    engine = policy + torch.randn(5, 6, generator=generator) * 0.5
    mask = torch.rand(5, 6, generator=generator) < 0.7
    policy[~mask] = math.nan
    found = importance_weights(policy.requires_grad_(), engine, mask, cap=1.5, level=level)
    assert not found.requires_grad
    for row in range(5):
        tokens = [t for t in range(6) if mask[row, t]]
        logs = {t: (policy[row, t] - engine[row, t]).item() for t in tokens}
        whole = math.exp(sum(logs.values()))
        for token in range(6):
            if token not in tokens:
                expected = 1.0
            elif level == "token":
                expected = min(math.exp(logs[token]), 1.5)
            else:
                expected = whole if whole <= 1.5 else 0.0
            assert found[row, token].item() == pytest.approx(expected, rel=1e-5)


def test_importance_weights_make_an_expectation_under_the_engine_the_trainers():
    # Two tokens a response, three values each: the sum over all nine responses is exact.
    generator = torch.Generator().manual_seed(0)
    trainer, engine = (torch.log_softmax(torch.randn(2, 3, generator=generator), -1) for _ in range(2))
    choices = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    logs = [table[[0, 1], choices] for table in (trainer, engine)]
    weights = importance_weights(*logs, torch.ones(9, 2, dtype=torch.bool), cap=1e6, level="sequence")
    value = torch.arange(9.0)
    expected = (logs[0].sum(1).exp() * value).sum()
    assert (logs[1].sum(1).exp() * weights[:, 0] * value).sum().item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_importance_weights_leave_what_is_masked_alone_and_refuse_nan():
    log_probs, mask = torch.tensor([[-1.0, -2.0]]), torch.tensor([[True, False]])
    for level in ("token", "sequence"):
        assert importance_weights(log_probs, log_probs, mask, 0.5, level)[0, 1] == 1
        with pytest.raises(ValueError, match="NaN under the mask"):
            importance_weights(log_probs * math.nan, log_probs, mask, 2.0, level)


def test_gspo_loss_is_a_sequence_ratio_with_a_gradient_that_is_shared():
    generator = torch.Generator().manual_seed(1)
    old = -torch.rand(4, 5, generator=generator, dtype=torch.float64)
    shift = torch.randn(4, 5, generator=generator, dtype=torch.float64) * 0.1
    mask = torch.tensor(
        [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]], dtype=torch.bool
    )
    advantages = torch.tensor([[1.0], [-0.5], [2.0], [-1.0]], dtype=torch.float64)
    log_probs = (old + shift).requires_grad_()
    loss, details = compute_gspo_loss(advantages, log_probs, old, mask, (0.02, 0.03))
    per_response = (loss * mask).sum(1) / mask.sum(1)
    per_response.mean().backward()
    for row in range(4):
        tokens = int(mask[row].sum())
        ratio = math.exp(shift[row, :tokens].mean().item())
        a = advantages[row].item()
        plain, clipped = ratio * a, min(max(ratio, 0.98), 1.03) * a
        assert per_response[row].item() == pytest.approx(-min(plain, clipped))
        slope = 0.0 if clipped < plain else -ratio * a / tokens / 4
        assert log_probs.grad[row, :tokens].tolist() == pytest.approx([slope] * tokens)
        assert log_probs.grad[row, tokens:].abs().sum() == 0
        assert bool(details["is_clipped"][row, 0]) == (clipped < plain)


def test_loss_scale_multiplies_the_gradient_alone():
    mask = torch.ones(2, 3, dtype=torch.bool)
    grads = []
    for scale in (1.0, 1024.0):
        log_probs = torch.full((2, 3), -1.0, requires_grad=True)
        loss, _ = grpo_microbatch_train_step(
            log_probs, mask, 1, "reinforce_with_baseline", advantages=torch.ones(2, 1), loss_scale=scale
        )
        grads.append((loss.item(), log_probs.grad))
    assert grads[0][0] == grads[1][0]
    assert torch.equal(grads[0][1] * 1024, grads[1][1])
