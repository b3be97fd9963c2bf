"""Pieces of the update: schedules, clipping, minibatches, penalties, prompts of a step."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import make_job

from rlvr.config.precision import OverlongConfig
from rlvr.data.families import family_problems
from rlvr.errors import UserError
from rlvr.models.attention import AttentionDropout
from rlvr.models.label_scores import Scoring
from rlvr.models.loading import load_policy
from rlvr.models.tokenizers import small_tokenizer
from rlvr.policy import get_response_log_probs
from rlvr.precision import Dropout
from rlvr.training.gradients import clip_gradients
from rlvr.training.groups import overlong_penalty
from rlvr.training.optimizer import learning_rate
from rlvr.training.prompts import fitting_problems, step_problems
from rlvr.training.scores import response_log_probs, score_labels
from rlvr.training.update import kl_penalty, minibatches


@pytest.mark.parametrize(("tokens", "expected"), [(1, 0.0), (12, 0.0), (13, -0.25), (14, -0.5), (16, -1.0)])
def test_overlong_penalty_is_dapos(tokens, expected):
    config = OverlongConfig(enabled=True, buffer_tokens=4, penalty=1.0)
    assert overlong_penalty(tokens, 16, config) == expected
    assert overlong_penalty(tokens, 16, OverlongConfig(False, 4, 1.0)) == 0.0


def test_learning_rate_warms_up_and_stays():
    config = make_job(optimizer=_optimizer(warmup_steps=4)).training
    assert [learning_rate(step, config) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert learning_rate(0, make_job(optimizer=_optimizer(warmup_steps=0)).training) == 1.0


def _optimizer(**replaced):
    settings = {"learning_rate": 1.0, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
    return settings | {"warmup_steps": 0, "max_grad_norm": 1.0} | replaced


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clip_gradients_scales_to_the_norm_and_accumulates_in_fp32(dtype):
    parameters = [torch.nn.Parameter(torch.zeros(4096, dtype=dtype)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.5)
    norm = clip_gradients(parameters, 1.0)
    assert norm == pytest.approx(math.sqrt(8192 * 0.25), rel=1e-6)
    after = math.sqrt(sum(p.grad.double().square().sum().item() for p in parameters))
    assert after == pytest.approx(1.0, rel=1e-2)
    untouched = [p.grad.clone() for p in parameters]
    clip_gradients(parameters, 10.0)
    assert all(torch.equal(p.grad, g) for p, g in zip(parameters, untouched, strict=True))


@given(groups=st.integers(1, 20), parts=st.integers(1, 6), size=st.integers(1, 4))
def test_minibatches_hold_every_row_of_whole_groups_once_an_epoch(groups, parts, size):
    config = make_job(minibatches=parts, group_size=size, epochs=2).training
    batches = list(minibatches(groups, config, seed=1, step=3, device=torch.device("cpu")))
    rows = torch.cat(batches).tolist()
    assert sorted(rows) == sorted(list(range(groups * size)) * 2)
    for batch in batches:
        assert len(batch) % size == 0
        assert all(len(set((group // size).tolist())) == 1 for group in batch.view(-1, size))
    again = minibatches(groups, config, seed=1, step=3, device=torch.device("cpu"))
    assert torch.cat(list(again)).tolist() == rows


def test_prompts_of_a_step_walk_through_epochs_and_depend_on_nothing_else():
    problems = family_problems("max", "train")[:10]
    drawn = [p.id for step in range(5) for p in step_problems(problems, 7, step, 4, round=0)]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == sorted(p.id for p in problems)
    assert drawn[:10] != drawn[10:]
    assert [p.id for p in step_problems(problems, 7, 3, 4, round=0)] == drawn[12:16]
    assert step_problems(problems, 7, 3, 3, round=1) == step_problems(problems, 7, 3, 3, round=1)
    assert step_problems(problems, 7, 3, 8, round=1) != step_problems(problems, 7, 3, 8, round=2)


def test_prompts_that_leave_no_room_are_left_out():
    problems = family_problems("add", "train")
    kept = fitting_problems(problems, "plain", small_tokenizer("characters"), room=5)
    assert kept == [p for p in problems if len(p.prompt) <= 5]
    assert 0 < len(kept) < len(problems)
    with pytest.raises(UserError, match=r"none of the .* training prompts has at most 3 tokens"):
        fitting_problems(problems, "plain", small_tokenizer("characters"), room=3)


def test_kl_penalty_is_k3_and_harmless_outside_the_mask():
    log_probs = torch.tensor([[-1.0, -2.0, -200.0]], dtype=torch.float64, requires_grad=True)
    base = torch.tensor([[-1.5, -1.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    penalty = kl_penalty(log_probs.float(), base.float(), mask, beta=0.5)
    penalty.sum().backward()
    expected = [0.5 * (math.exp(d) - d - 1) for d in (-0.5, 1.0)]
    assert penalty[0].tolist() == pytest.approx([*expected, 0.0], rel=1e-5)
    assert log_probs.grad[0].tolist() == pytest.approx([0.5 * (1 - math.exp(d)) for d in (-0.5, 1.0)] + [0.0])


def test_equal_rows_are_scored_once_and_every_row_gets_its_own(small_base):
    model = load_policy(small_base / "policy", torch.float32, torch.float32)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 12, (3, 7), generator=generator)[[0, 1, 0, 2, 1, 0]]
    mask = torch.arange(7).expand(6, 7) >= torch.tensor([2, 3, 2, 4, 3, 5])[:, None]  # the last row's differs
    batch = {"input_ids": ids, "labels": ids.roll(-1, 1), "response_mask": mask}
    seen = []
    model.model.layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    found, entropies = response_log_probs(model, batch, microbatch_size=3, entropy=True)
    assert sum(seen) == 4  # distinct (ids, mask)
    whole = get_response_log_probs(model, ids, batch["labels"], return_token_entropy=True)
    for ours, theirs in ((found, whole["log_probs"]), (entropies, whole["token_entropy"])):
        assert torch.allclose(ours, torch.where(mask, theirs, 0.0), atol=1e-5)


def _repeated_rows():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 12, (3, 7), generator=generator)[[0, 1, 0, 2, 1, 0]]
    return ids, ids.roll(-1, 1), torch.ones(6, 7, dtype=torch.bool)


def test_an_update_computes_equal_rows_once_and_their_gradient_in_full(small_base):
    model = load_policy(small_base / "policy", torch.float32, torch.float32)
    ids, labels, mask = _repeated_rows()
    weights = torch.randn(6, 7, generator=torch.Generator().manual_seed(2))
    seen = []
    model.model.layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    found, _ = score_labels(model, ids, labels, mask, None, Scoring())
    (weights * found).sum().backward()
    assert seen == [3]
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    whole = get_response_log_probs(model, ids, labels)["log_probs"]
    (weights * whole).sum().backward()
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)
    for once, every in zip(gradients, (parameter.grad for parameter in model.parameters()), strict=True):
        torch.testing.assert_close(once, every, rtol=1e-4, atol=1e-5)  # a few roundings of fp32


def test_an_update_with_dropout_computes_every_row(small_base):
    model = load_policy(small_base / "policy", torch.float32, torch.float32)
    dropout = AttentionDropout(Dropout(rate=0.5), torch.Generator().manual_seed(0))
    found, _ = score_labels(model, *_repeated_rows(), dropout, Scoring())
    assert not torch.equal(found[0], found[2])


def _score_and_go_back(model, weights, learning):
    """Scores, gradients, and (rows, with or without a gradient) of each pass of `_repeated_rows`."""
    seen, tokens = [], _repeated_rows()
    hook = model.model.layers[0].register_forward_pre_hook(
        lambda _module, inputs: seen.append((len(inputs[0]), inputs[0].requires_grad))
    )
    model.zero_grad()
    found = score_labels(model, *tokens, None, Scoring(entropy=True), learning)
    hook.remove()
    (weights[:, None] * found[0]).sum().backward()
    return found, [parameter.grad for parameter in model.parameters()], seen


@pytest.mark.parametrize("weights", [[0, 2, 0, 0, -1, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 3, 0, 1]])
def test_rows_without_a_gradient_are_scored_without_a_backward_pass(small_base, weights):
    model = load_policy(small_base / "policy", torch.float32, torch.float32)
    weights = torch.tensor(weights, dtype=torch.float32)
    whole, gradients, _ = _score_and_go_back(model, weights, None)
    found, fewer, seen = _score_and_go_back(model, weights, weights != 0)
    distinct = torch.tensor([0, 1, 0, 2, 1, 0])
    rows = len(distinct[weights != 0].unique())
    assert seen == [(3 - rows, False), (rows, True)]
    for ours, theirs in zip(found, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    largest = max(gradient.abs().max() for gradient in gradients)
    for ours, theirs in zip(fewer, gradients, strict=True):
        assert (ours - theirs).abs().max() <= 1e-6 * largest


def test_where_no_row_has_a_gradient_it_is_zero(small_base):
    model = load_policy(small_base / "policy", torch.float32, torch.float32)
    _, gradients, seen = _score_and_go_back(model, torch.zeros(6), torch.zeros(6, dtype=torch.bool))
    assert seen == [(2, False), (1, True)]
    assert all(not gradient.any() for gradient in gradients)
