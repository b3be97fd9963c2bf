"""Log-probabilities and entropies in chunks of positions are those of one pass."""

import pytest
import torch
from small_models import save_reference

from rlvr.errors import UserError
from rlvr.models.label_scores import Head, Scoring, label_scores
from rlvr.models.loading import load_policy
from rlvr.policy import get_response_log_probs

VOCABULARY = 258  # of the small models


def _batch(rows=4, width=11):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, VOCABULARY, (rows, width), generator=generator)
    starts = torch.tensor([2, 4, 3, 9])[:rows, None]
    ends = torch.tensor([11, 8, 10, 10])[:rows, None]
    columns = torch.arange(width)
    return ids, ids.roll(-1, 1), (columns >= starts) & (columns < ends)


def _weights(mask):
    return torch.randn(mask.shape, generator=torch.Generator().manual_seed(1))


def _gradients(model):
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
@pytest.mark.parametrize("chunk", [None, 1, 7, 1000])
def test_fp32_scores_and_gradients_are_those_of_all_logits(tmp_path, family, tied, chunk):
    save_reference(tmp_path, family, tie_word_embeddings=tied)
    model = load_policy(tmp_path, torch.float32, torch.float32)
    ids, labels, mask = _batch()
    whole = get_response_log_probs(model, ids, labels, True)
    (whole["log_probs"] * mask * _weights(mask)).sum().backward()
    expected = _gradients(model)
    log_probs, entropies = model.label_scores(ids, labels, mask, Scoring(entropy=True, chunk=chunk))
    (log_probs * _weights(mask)).sum().backward()
    for found, wanted in ((log_probs, whole["log_probs"]), (entropies, whole["token_entropy"])):
        torch.testing.assert_close(found, torch.where(mask, wanted, 0.0), rtol=1e-6, atol=1e-6)
    assert not entropies.requires_grad
    largest = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in _gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6 * largest.item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("logits_fp32", [True, False])
@pytest.mark.parametrize("master", [torch.float32, None])
def test_16_bit_scores_and_gradients_are_those_of_one_pass_within_one_rounding(dtype, logits_fp32, master):
    positions, hidden_size, chunk = 96, 48, 10
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(2, positions // 2, hidden_size, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, hidden_size, generator=generator).to(master or dtype).requires_grad_()
    bias = torch.randn(VOCABULARY, generator=generator).to(master or dtype).requires_grad_()
    labels = torch.randint(0, VOCABULARY, hidden.shape[:2], generator=generator)
    mask = torch.rand(hidden.shape[:2], generator=generator) < 0.8
    head = Head(weight, bias, dtype, logits_fp32)
    softmax = None if logits_fp32 else dtype
    results = []
    for scoring in (Scoring(True, softmax), Scoring(True, softmax, chunk)):
        log_probs, entropies = label_scores(head, hidden, labels, mask, scoring)
        gradients = torch.autograd.grad(log_probs, (hidden, weight, bias), _weights(mask))
        results.append((log_probs.detach(), entropies, *gradients))
    for whole, parts in zip(*results, strict=True):
        assert whole.dtype == parts.dtype
        torch.testing.assert_close(parts, whole, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_gradients_of_chunks_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(3)
    hidden, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((1, 5, 3), (7, 3), (7,))
    )
    labels = torch.tensor([[0, 6, 3, 2, 2]])
    mask = torch.tensor([[True, True, False, True, True]])

    def log_probs(hidden, weight, bias):
        head = Head(weight, bias, torch.float64, False)
        return label_scores(head, hidden, labels, mask, Scoring(chunk=3))[0]

    assert torch.autograd.gradcheck(log_probs, (hidden, weight, bias))


def test_no_position_is_scored_outside_the_mask_and_no_more_than_a_chunk_at_a_time(tmp_path, monkeypatch):
    save_reference(tmp_path)
    model = load_policy(tmp_path, torch.float32, torch.float32)
    ids, labels, mask = _batch()
    sizes = []
    softmax = torch.log_softmax
    monkeypatch.setattr(torch, "log_softmax", lambda x, **k: sizes.append(len(x)) or softmax(x, **k))
    model.label_scores(ids, labels, mask, Scoring())
    model.label_scores(ids, labels, mask, Scoring(chunk=8))[0].sum().backward()
    count = int(mask.sum())
    parts = [8] * (count // 8) + [count % 8]
    assert sizes == [count, *parts, *parts]  # all; forward; backward


def test_a_head_that_is_more_than_a_product_is_scored_whole_and_refuses_chunks(tmp_path):
    from transformers import CohereConfig, CohereForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = CohereConfig(vocab_size=VOCABULARY, logit_scale=0.5, eos_token_id=257, **sizes)
    CohereForCausalLM(config).save_pretrained(tmp_path)
    model = load_policy(tmp_path, torch.float32, torch.float32)
    ids, labels, mask = _batch()
    whole = get_response_log_probs(model, ids, labels)["log_probs"]
    found, entropies = model.label_scores(ids, labels, mask, Scoring())
    torch.testing.assert_close(found, torch.where(mask, whole, 0.0))
    assert entropies is None
    with pytest.raises(UserError, match=r"Cohere.*vocabulary_chunk to null"):
        model.label_scores(ids, labels, mask, Scoring(chunk=4))
    parts = list(model.logits_in_parts(ids, mask, 4))
    assert {len(part) for part in parts[:-1]} == {4}
    torch.testing.assert_close(torch.cat(parts), model(ids).logits[mask])


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_logits_in_parts_are_those_of_a_whole_pass(tmp_path, family, compute):
    """A model of the package's own, and one of transformers, with and without casts."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, eos_token_id=257, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = load_policy(tmp_path, torch.float32, compute)
    ids, _, mask = _batch()
    with torch.no_grad():
        parts, whole = list(model.logits_in_parts(ids, mask, 3)), model(ids).logits[mask]
    assert [len(part) for part in parts] == [3] * (len(whole) // 3) + [len(whole) % 3] * bool(len(whole) % 3)
    exact = compute == torch.float32
    torch.testing.assert_close(
        torch.cat(parts), whole, rtol=1e-5 if exact else 2**-7, atol=1e-5 if exact else 1e-2
    )
