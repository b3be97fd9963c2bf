import copy
import math

import pytest
import torch
from small_models import reference_model

from rlvr.data.packing import ALPACA
from rlvr.dpo import per_instance_dpo_loss
from rlvr.errors import UserError
from rlvr.models.tokenizers import byte_tokenizer

TEMPLATE = "Q: {prompt}\nA: "
PROMPT, CHOSEN, REJECTED = "2 + 2?", "4", "five, I think"
EOS = 257


@pytest.fixture(scope="module")
def models():
    """A policy and a reference of the same shape; the reference's weights are moved at random."""
    policy = reference_model("gpt2").double()
    reference = copy.deepcopy(policy)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in reference.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return policy, reference


def log_prob(model, response, template=TEMPLATE):
    """Of a response and its EOS given the prompt, a token at a time, with nothing in the batch beside it."""
    ids = list(template.replace("{prompt}", PROMPT).encode())
    total = 0.0
    for token in [*response.encode(), EOS]:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].tolist()
        top = max(logits)
        total += logits[token] - top - math.log(sum(math.exp(logit - top) for logit in logits))
        ids.append(token)
    return total


def loss_of(models, beta=0.5, template=TEMPLATE, responses=(CHOSEN, REJECTED)):
    return per_instance_dpo_loss(*models, byte_tokenizer(), beta, PROMPT, *responses, template=template)


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("responses", [(CHOSEN, REJECTED), (REJECTED, CHOSEN), ("", CHOSEN)])
def test_equals_the_equation_token_by_token(models, beta, responses):
    policy, reference = models
    ratios = [log_prob(policy, text) - log_prob(reference, text) for text in responses]
    expected = math.log1p(math.exp(-beta * (ratios[0] - ratios[1])))
    loss = loss_of(models, beta, responses=responses)
    assert loss.shape == () and loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert abs(loss.item() - math.log(2)) > 1e-3  # the case can tell the models apart


def test_fp32_follows_float64(models):
    single = [copy.deepcopy(model).float() for model in models]
    assert loss_of(single).dtype == torch.float32
    longest = abs(log_prob(models[0], REJECTED))
    assert 64 < longest < 128  # where fp32 numbers are 2^-17 apart, half of which (β) reaches the loss
    assert loss_of(single).item() == pytest.approx(loss_of(models).item(), abs=2**-17)


def test_the_log_probability_of_the_prompt_cancels(models):
    """The handout's remark: whole sequences give the same loss as responses given the prompt."""
    wholes = []
    for response in (CHOSEN, REJECTED):
        ids = torch.tensor([[*TEMPLATE.replace("{prompt}", PROMPT).encode(), *response.encode(), EOS]])
        sums = []
        for model in models:
            with torch.no_grad():
                scores = model(ids[:, :-1]).logits.log_softmax(-1)
            sums.append(scores.gather(-1, ids[:, 1:, None]).sum().item())
        wholes.append(sums[0] - sums[1])
    expected = math.log1p(math.exp(-0.5 * (wholes[0] - wholes[1])))
    assert loss_of(models).item() == pytest.approx(expected, rel=1e-9)


def test_equal_models_give_log_two(models):
    policy = models[0]
    assert loss_of((policy, policy)).item() == pytest.approx(math.log(2), abs=1e-12)


def test_the_gradient_raises_the_chosen_and_lowers_the_rejected(models):
    policy, reference = copy.deepcopy(models[0]), models[1]
    before = [log_prob(policy, text) for text in (CHOSEN, REJECTED)]
    loss = loss_of((policy, reference))
    loss.backward()
    assert all(weight.grad is None for weight in reference.parameters())
    with torch.no_grad():
        for weight in policy.parameters():
            weight.sub_(1e-4 * weight.grad)
    after = [log_prob(policy, text) for text in (CHOSEN, REJECTED)]
    assert after[0] > before[0] and after[1] < before[1]
    assert loss_of((policy, reference)) < loss


def test_the_gradient_is_that_of_the_equation(models):
    """∂loss = −β·σ(−β·Δ)·∂(log π(chosen) − log π(rejected)), along one random direction."""
    policy, reference = copy.deepcopy(models[0]), models[1]
    loss_of((policy, reference)).backward()
    generator = torch.Generator().manual_seed(0)
    weights = [weight for weight in policy.parameters() if weight.grad is not None]
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    slope = sum((w.grad * d).sum().item() for w, d in zip(weights, direction, strict=True))
    losses = []
    for step in (1e-5, -1e-5):
        moved = copy.deepcopy(policy)
        with torch.no_grad():
            pairs = zip((w for w in moved.parameters() if w.requires_grad), direction, strict=True)
            for weight, way in pairs:
                weight.add_(step * way)
        losses.append(loss_of((moved, reference)).item())
    assert slope == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5)


def test_the_alpaca_template_is_the_default():
    models = [reference_model("gpt2", n_positions=256).double() for _ in range(2)]
    with torch.no_grad():
        models[1].lm_head.weight.mul_(0.5)
    arguments = (*models, byte_tokenizer(), 0.5, PROMPT, CHOSEN, REJECTED)
    assert per_instance_dpo_loss(*arguments).item() == per_instance_dpo_loss(*arguments, ALPACA).item()
    assert per_instance_dpo_loss(*arguments).item() != per_instance_dpo_loss(*arguments, TEMPLATE).item()


def test_what_has_no_loss_is_an_error(models):
    with pytest.raises(UserError, match="beta must be positive, not 0"):
        loss_of(models, beta=0)
    with pytest.raises(UserError, match="once, not 2 times"):
        loss_of(models, template="{prompt}{prompt}")
    with pytest.raises(UserError, match="the prompt has no tokens"):
        per_instance_dpo_loss(*models, byte_tokenizer(), 0.5, "", CHOSEN, REJECTED, template="{prompt}")
    tokenizer = byte_tokenizer()
    tokenizer.eos_token_id = None
    with pytest.raises(UserError, match="eos_token"):
        per_instance_dpo_loss(*models, tokenizer, 0.5, PROMPT, CHOSEN, REJECTED)
