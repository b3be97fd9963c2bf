"""Tokens, entropies and log-probabilities against numpy in float64, hand-built rows and a whole model."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from float64_reference import bounded, close, differences, f64, fp32, seeds
from hypothesis import given
from hypothesis import strategies as st
from small_models import reference_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rlvr.policy import compute_entropy, get_response_log_probs, tokenize_prompt_and_output


@bounded
@given(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40)), seeds, st.floats(0.01, 30))
def test_entropy(shape, seed, spread):
    logits = fp32(np.random.default_rng(seed).normal(0, spread, shape))
    for given_logits in (logits, logits.bfloat16(), logits.double()):
        exact = f64(given_logits)
        shifted = exact - exact.max(-1, keepdims=True)
        shares = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
        expected = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0).sum(-1)
        found = compute_entropy(given_logits)
        assert found.dtype == (torch.float64 if given_logits.dtype == torch.float64 else torch.float32)
        close(found, expected, scale=math.log(shape[-1]) if shape[-1] > 1 else 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_entropy_of_extreme_logits(dtype):
    logits = torch.tensor(
        [[[1e4] * 4, [-1e4] * 4, [1e4, -1e4, -1e4, -1e4], [1e4, 1e4, -1e4, -1e4], [-1e4, 0, 0, 0]]],
        dtype=dtype,
        requires_grad=True,
    )
    entropy = compute_entropy(logits)
    close(entropy, [[math.log(4), math.log(4), 0.0, math.log(2), math.log(3)]])
    (gradient,) = torch.autograd.grad(entropy.sum(), logits)
    close(gradient, np.zeros((1, 5, 4)))  # all are extrema or saturated


@bounded
@given(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 30)), seeds)
def test_log_probs_of_labels(shape, seed):
    rng = np.random.default_rng(seed)
    logits = fp32(rng.normal(0, 3, shape)).requires_grad_()
    labels = torch.tensor(rng.integers(0, shape[-1], shape[:2]))
    result = get_response_log_probs(lambda ids: SimpleNamespace(logits=logits), labels, labels, True)

    def of_labels(values):
        norm = np.log(np.exp(values - values.max(-1, keepdims=True)).sum(-1)) + values.max(-1)
        return np.take_along_axis(values, labels.numpy()[..., None], -1)[..., 0] - norm

    exact = f64(logits)
    close(result["log_probs"], of_labels(exact), scale=np.abs(exact).max())
    close(result["token_entropy"], f64(compute_entropy(logits.double())), scale=math.log(shape[-1]))
    weights = fp32(rng.normal(0, 1, shape[:2]))
    (gradient,) = torch.autograd.grad((result["log_probs"] * weights).sum(), logits)
    close(gradient, differences(lambda values: (of_labels(values) * f64(weights)).sum(), exact))


WORDS = "abcdefgh"
BOS, EOS, PAD, FIRST = 0, 1, 2, 3


def tokenizer(bos=True, pad=True, side="right"):
    """A tokenizer of transformers: a token for each letter, with BOS in front as Llama's has it."""
    vocabulary = {"<s>": BOS, "</s>": EOS, "<pad>": PAD} | {w: FIRST + i for i, w in enumerate(WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if bos:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>" if pad else None,
        padding_side=side,
    )


texts = st.text(st.sampled_from(list(WORDS)), max_size=6)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=5)


@bounded
@given(pairs, st.booleans(), st.booleans(), st.sampled_from(["left", "right"]))
def test_rows_are_prompt_then_output_then_padding(rows, bos, pad, side):
    rows = [("a" + prompt, output) for prompt, output in rows]
    batch = tokenize_prompt_and_output(*zip(*rows, strict=True), tokenizer(bos, pad, side))
    width = max(bos + len(prompt) + len(output) for prompt, output in rows)
    for index, (prompt, output) in enumerate(rows):
        ids = [BOS] * bos + [FIRST + WORDS.index(letter) for letter in prompt + output]
        row = ids + [PAD if pad else EOS] * (width - len(ids))
        kinds = [False] * (bos + len(prompt)) + [True] * len(output) + [False] * (width - len(ids))
        assert batch["input_ids"][index].tolist() == row[:-1]
        assert batch["labels"][index].tolist() == row[1:]
        assert batch["response_mask"][index].tolist() == kinds[1:]
    assert batch["response_mask"].dtype == torch.bool
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


def test_padding_does_not_change_a_models_scores():
    """What a response is worth beside a longer one, and alone."""
    model = reference_model("qwen2").double()
    words = tokenizer()
    rows = [("abc", "de"), ("a", "bcdefgh"), ("abcdefgh", "a")]
    batch = tokenize_prompt_and_output(*zip(*rows, strict=True), words)
    together = get_response_log_probs(model, batch["input_ids"], batch["labels"], True)
    for index, (prompt, output) in enumerate(rows):
        single = tokenize_prompt_and_output([prompt], [output], words)
        alone = get_response_log_probs(model, single["input_ids"], single["labels"], True)
        mask, own = batch["response_mask"][index], single["response_mask"][0]
        assert mask.sum() == own.sum() == len(output)
        for name in ("log_probs", "token_entropy"):
            found, expected = together[name][index][mask], alone[name][0][own]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_log_probs_do_not_know_the_mask():
    model, words = reference_model("gpt2").double(), tokenizer()
    batch = tokenize_prompt_and_output(["ab"], ["cd"], words)
    log_probs = get_response_log_probs(model, batch["input_ids"], batch["labels"])["log_probs"]
    scores = model(batch["input_ids"]).logits.detach().numpy()[0]
    for position, label in enumerate(batch["labels"][0].tolist()):
        expected = scores[position, label] - np.log(np.exp(scores[position]).sum())
        assert log_probs[0, position].item() == pytest.approx(expected, abs=1e-12)
