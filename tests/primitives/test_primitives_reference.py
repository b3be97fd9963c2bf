"""Rewards, losses and steps against numpy in float64, their gradients against differences of that numpy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from float64_reference import (
    CLIP_RANGES,
    LOSS_TYPES,
    Case,
    bounded,
    close,
    differences,
    f64,
    padded,
    reference_step,
    seeds,
    shapes,
    token_losses,
)
from hypothesis import given
from hypothesis import strategies as st

from rlvr.objectives import (
    compute_group_normalized_rewards,
    compute_grpo_clip_loss,
    compute_naive_policy_gradient_loss,
    compute_policy_gradient_loss,
    grpo_microbatch_train_step,
    masked_mean,
    masked_normalize,
    sft_microbatch_train_step,
)

NAN = math.nan


def grpo_step(case, loss_type, steps=1, **settings):
    """Loss, gradient and metadata of the step."""
    log_probs = case.log_probs.clone().requires_grad_()
    loss, metadata = grpo_microbatch_train_step(
        log_probs, case.mask, steps, loss_type, **case.arguments(), **settings
    )
    return loss, log_probs.grad, metadata


@bounded
@given(shapes, seeds, st.sampled_from([None, 0, 1, -1]), st.floats(0.5, 50))
def test_masked_reductions(shape, seed, dim, constant):
    rng = np.random.default_rng(seed)
    values, mask = rng.normal(0, 1, shape).astype(np.float32), rng.random(shape) < 0.5
    kept = np.where(mask, values.astype(np.float64), 0.0)
    tensor = torch.where(torch.tensor(mask), torch.tensor(values), torch.tensor(NAN))
    total, count, scale = kept.sum(dim), mask.sum(dim), np.abs(kept).sum()
    close(masked_normalize(tensor, torch.tensor(mask), dim, constant), total / constant, scale / constant)
    with np.errstate(invalid="ignore"):
        mean = np.asarray(total / count)  # 0/0 is NaN, as it must be
    close(masked_mean(tensor, torch.tensor(mask), dim), mean)
    assert masked_normalize(tensor, torch.tensor(mask)).shape == ()


@bounded
@given(st.integers(1, 5), st.integers(1, 6), seeds, st.booleans(), st.sampled_from([1e-6, 1e-4, 0.1]))
def test_group_normalized_rewards(groups, size, seed, normalize, eps):
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 0.1, 0.7, 1.0, rng.normal()], (groups, size)).astype(np.float32)
    scores[0] = scores[0, 0]  # one group without variance, always
    asked = []

    def reward(response, truth):
        asked.append((response, truth))
        return {"reward": float(scores.flat[int(response)]), "format_reward": 1.0}

    responses = [str(index) for index in range(scores.size)]
    truths = [f"truth {index}" for index in range(scores.size)]
    advantages, raw, metadata = compute_group_normalized_rewards(
        reward, responses, truths, size, eps, normalize
    )
    assert asked == list(zip(responses, truths, strict=True))  # each once, in order, with its own truth
    assert raw.shape == advantages.shape == (groups * size,)
    close(raw, scores.reshape(-1).astype(np.float64))
    rows = []
    for group in scores.astype(np.float64):
        if np.all(group == group[0]):
            rows.append(np.zeros(size))
            continue
        mean = sum(group) / size
        deviation = math.sqrt(sum((group - mean) ** 2) / (size - 1))
        rows.append((group - mean) / (deviation + eps) if normalize else group - mean)
        scale = np.abs(group).max() / (deviation + eps) if normalize else 1.0
        close(advantages.view(groups, size)[len(rows) - 1], rows[-1], scale)
    equal = (scores == scores[:, :1]).all(1)
    assert (advantages.view(groups, size)[torch.tensor(equal)] == 0.0).all()
    assert metadata["groups"] == groups and metadata["groups_without_variance"] == equal.sum()


def test_twelve_equal_rewards_give_exactly_zero():
    rewards = torch.full((12,), 0.7)
    naive = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    assert abs(naive[0].item()) > 0.1  # what rounding of the mean alone would give
    for normalize in (True, False):
        advantages, _, _ = compute_group_normalized_rewards(
            lambda response, truth: {"reward": 0.7}, ["r"] * 12, ["t"] * 12, 12, 1e-6, normalize
        )
        assert advantages.tolist() == [0.0] * 12


@bounded
@given(shapes, seeds, st.sampled_from(CLIP_RANGES), st.sampled_from(LOSS_TYPES))
def test_token_losses_and_their_gradients(shape, seed, cliprange, loss_type):
    case = Case(shape, seed, cliprange)
    log_probs = case.log_probs.clone().requires_grad_()
    losses, metadata = compute_policy_gradient_loss(log_probs, loss_type, **case.arguments())
    expected = token_losses(case, f64(log_probs), loss_type)
    close(losses, expected, scale=np.abs(expected).max())
    losses.sum().backward()
    slope = differences(lambda values: token_losses(case, values, loss_type).sum(), f64(log_probs))
    close(log_probs.grad, slope, scale=np.abs(expected).max())
    if loss_type == "grpo_clip":
        unclipped = token_losses(case, f64(log_probs), "grpo_no_clip")
        assert torch.equal(metadata["is_clipped"], torch.tensor(expected > unclipped + 1e-12))
        direct, _ = compute_grpo_clip_loss(case.advantages, case.log_probs, case.old, cliprange)
        assert torch.equal(direct, losses)
    naive = {"no_baseline": case.rewards, "reinforce_with_baseline": case.advantages}
    if loss_type in naive:
        assert torch.equal(
            compute_naive_policy_gradient_loss(naive[loss_type], case.log_probs), losses.detach()
        )


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_autograd_in_float64(loss_type):
    case = Case((3, 4), 1)
    double = {
        name: value.double() if isinstance(value, torch.Tensor) else value
        for name, value in case.arguments().items()
    }

    def losses(log_probs):
        return compute_policy_gradient_loss(log_probs, loss_type, **double)[0]

    assert torch.autograd.gradcheck(losses, case.log_probs.double().requires_grad_())


@bounded
@given(shapes, seeds, st.integers(1, 8), st.sampled_from([1.0, 3.0, 1024.0]))
def test_sft_step(shape, seed, steps, constant):
    case = Case(shape, seed)
    log_probs = torch.where(case.mask, case.log_probs, torch.tensor(NAN)).requires_grad_()
    loss, _ = sft_microbatch_train_step(log_probs, case.mask, steps, constant)

    def reference(values):
        kept = np.where(case.mask.numpy(), values, 0.0)
        return -kept.sum(1).mean() / constant / steps

    close(loss, reference(f64(case.log_probs)), scale=f64(-case.log_probs).sum() / constant / steps)
    close(log_probs.grad, differences(reference, f64(case.log_probs)))


@bounded
@given(
    shapes,
    seeds,
    st.sampled_from(LOSS_TYPES),
    st.sampled_from(CLIP_RANGES),
    st.integers(1, 8),
    st.sampled_from([("masked_mean", 1.0), ("masked_normalize", 1.0), ("masked_normalize", 7.0)]),
)
def test_grpo_step(shape, seed, loss_type, cliprange, steps, normalization):
    case = Case(shape, seed, cliprange)
    name, constant = normalization
    loss, gradient, metadata = grpo_step(
        case, loss_type, steps, length_normalization=name, normalize_constant=constant
    )

    def reference(values):
        return reference_step(case, values, loss_type, steps, name, constant)

    scale = np.abs(token_losses(case, f64(case.log_probs), loss_type)).sum()
    close(loss, reference(f64(case.log_probs)), scale)
    close(gradient, differences(reference, f64(case.log_probs)), scale)
    assert not loss.requires_grad
    assert metadata["empty_responses"].item() == (case.mask.sum(1) == 0).sum()
    ratios = torch.exp(case.log_probs.double() - case.old.double())[case.mask]
    if loss_type.startswith("grpo"):
        close(metadata["ratio_max"], ratios.max().item() if len(ratios) else 0.0)
    if loss_type == "grpo_clip":
        clipped = token_losses(case, f64(case.log_probs), "grpo_clip")
        plain = token_losses(case, f64(case.log_probs), "grpo_no_clip")
        kept = case.mask.numpy()
        share = (clipped > plain + 1e-12)[kept].mean() if kept.any() else NAN
        close(metadata["clip_fraction"], share)


@bounded
@given(shapes, seeds, st.sampled_from(LOSS_TYPES), st.data())
def test_microbatches_add_up_to_the_whole_batch(shape, seed, loss_type, data):
    """Microbatches of any sizes, each weighed by its share of the rows; equal ones by their number."""
    case = Case(shape, seed)
    rows = shape[0]
    cuts = data.draw(st.lists(st.integers(0, rows), max_size=3).map(lambda cut: sorted({0, rows, *cut})))
    whole_loss, whole_gradient, _ = grpo_step(case, loss_type)
    sft_whole, sft_parts = (case.log_probs.clone().requires_grad_() for _ in range(2))
    sft_loss, _ = sft_microbatch_train_step(sft_whole, case.mask, 1)
    parts = case.log_probs.clone().requires_grad_()
    losses, sft_losses = [], []
    for start, end in pairwise(cuts):
        part = slice(start, end)
        share = rows / (end - start)
        loss, _ = grpo_microbatch_train_step(
            parts[part], case.mask[part], share, loss_type, **case.arguments(part)
        )
        losses.append(loss.item())
        loss, _ = sft_microbatch_train_step(sft_parts[part], case.mask[part], share)
        sft_losses.append(loss.item())
    scale = np.abs(token_losses(case, f64(case.log_probs), loss_type)).sum()
    close(sum(losses), whole_loss.item(), scale)
    close(parts.grad, f64(whole_gradient), scale)
    close(sum(sft_losses), sft_loss.item(), f64(-case.log_probs).sum())
    close(sft_parts.grad, f64(sft_whole.grad))


@bounded
@given(
    shapes,
    seeds,
    st.sampled_from(LOSS_TYPES),
    st.sampled_from(["masked_mean", "masked_normalize"]),
    st.integers(1, 5),
    st.sampled_from([0.0, -1e30, math.inf, NAN]),
)
def test_padding_changes_nothing(shape, seed, loss_type, normalization, columns, junk):
    case = Case(shape, seed)
    loss, gradient, metadata = grpo_step(case, loss_type, length_normalization=normalization)
    log_probs = padded(case.log_probs, columns, junk).requires_grad_()
    wide = padded(case.mask, columns, False)
    again, details = grpo_microbatch_train_step(
        log_probs,
        wide,
        1,
        loss_type,
        **case.arguments(columns=columns, junk=junk),
        length_normalization=normalization,
    )
    scale = np.abs(token_losses(case, f64(case.log_probs), loss_type)).sum()
    close(again, loss.item(), scale)
    close(log_probs.grad[:, : shape[1]], f64(gradient), scale)
    assert (log_probs.grad[:, shape[1] :] == 0).all()
    for name, value in metadata.items():
        close(details[name].double(), value.item())
    sft, sft_wide = case.log_probs.clone().requires_grad_(), padded(case.log_probs, columns, junk)
    sft_wide.requires_grad_()
    first, _ = sft_microbatch_train_step(sft, case.mask, 1)
    second, _ = sft_microbatch_train_step(sft_wide, wide, 1)
    close(second, first.item(), f64(-case.log_probs).sum())
    close(sft_wide.grad[:, : shape[1]], f64(sft.grad))
    assert (sft_wide.grad[:, shape[1] :] == 0).all()


@bounded
@given(st.tuples(st.integers(2, 6), st.integers(1, 9)), seeds, st.sampled_from(LOSS_TYPES))
def test_an_empty_response_adds_zero_and_counts_as_a_row(shape, seed, loss_type):
    case = Case(shape, seed)
    case.mask[0] = False
    loss, gradient, metadata = grpo_step(case, loss_type)
    rest = slice(1, None)
    log_probs = case.log_probs[rest].clone().requires_grad_()
    without, details = grpo_microbatch_train_step(
        log_probs, case.mask[rest], 1, loss_type, **case.arguments(rest)
    )
    scale = np.abs(token_losses(case, f64(case.log_probs), loss_type)).sum()
    share = (shape[0] - 1) / shape[0]
    close(loss, without.item() * share, scale)
    assert (gradient[0] == 0).all()
    close(gradient[1:], f64(log_probs.grad) * share, scale)
    assert metadata["empty_responses"] == details["empty_responses"] + 1
