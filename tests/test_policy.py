import math
from types import SimpleNamespace

import pytest
import torch
from small_models import save_reference

from rlvr.errors import UserError
from rlvr.models.loading import load_policy
from rlvr.models.tokenizers import byte_tokenizer
from rlvr.policy import collate, compute_entropy, get_response_log_probs, tokenize_prompt_and_output


class TokenizerWithBos:
    """Words of one letter; a BOS (1) comes by default, as Llama's tokenizer does it."""

    pad_token_id: int | None = None
    eos_token_id: int | None = 2

    def encode(self, text, add_special_tokens=True):
        return [1] * add_special_tokens + [10 + ord(letter) - ord("a") for letter in text]


def test_prompt_and_output_are_joined_shifted_and_masked():
    batch = tokenize_prompt_and_output(["ab", "a"], ["c", "bcd"], TokenizerWithBos())
    assert batch["input_ids"].tolist() == [[1, 10, 11, 12], [1, 10, 11, 12]]
    assert batch["labels"].tolist() == [[10, 11, 12, 2], [10, 11, 12, 13]]
    assert batch["response_mask"].tolist() == [[False, False, True, False], [False, True, True, True]]
    assert batch["response_mask"].dtype == torch.bool


def test_padding_is_on_the_right_whatever_the_tokenizer_says():
    tokenizer = byte_tokenizer()
    tokenizer.padding_side = "left"
    batch = tokenize_prompt_and_output(["A", "BB"], ["C", "DDD"], tokenizer)
    assert batch["labels"][0].tolist() == [67, 256, 256, 256]


def test_an_empty_output_has_an_empty_mask():
    batch = tokenize_prompt_and_output(["ab", "a"], ["", "b"], TokenizerWithBos())
    assert batch["response_mask"].sum(dim=1).tolist() == [0, 1]


def test_a_tokenizer_that_cannot_pad_is_an_error():
    tokenizer = TokenizerWithBos()
    tokenizer.eos_token_id = None
    with pytest.raises(UserError, match="eos_token"):
        tokenize_prompt_and_output(["a"], ["b"], tokenizer)


def test_unpaired_prompts_are_an_error():
    with pytest.raises(ValueError, match="2 prompts but 1 outputs"):
        collate([[1], [2]], [[3]], pad_id=0)


def test_entropy_equals_float64_loops():
    logits = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0)) * 3
    expected = torch.zeros(2, 3, dtype=torch.float64)
    for b in range(2):
        for s in range(3):
            row = logits[b, s].double()
            weights = [math.exp(x) for x in row.tolist()]
            shares = [weight / sum(weights) for weight in weights]
            expected[b, s] = -sum(share * math.log(share) for share in shares)
    torch.testing.assert_close(compute_entropy(logits).double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(compute_entropy(logits.double()), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_entropy_is_stable(dtype):
    uniform = torch.full((1, 1, 8), 1e4, dtype=dtype)
    peaked = torch.tensor([[[1e4, -1e4, 0.0]]], dtype=dtype)
    forbidden = torch.tensor([[[0.0, 0.0, -torch.inf]]], dtype=dtype)
    for logits, expected in (
        (uniform, math.log(8)),
        (-uniform, math.log(8)),
        (peaked, 0.0),
        (forbidden, math.log(2)),
    ):
        entropy = compute_entropy(logits.requires_grad_())
        assert entropy.item() == pytest.approx(expected, abs=1e-6)
        (gradient,) = torch.autograd.grad(entropy.sum(), logits)
        assert gradient.isfinite().all()
    assert compute_entropy(uniform).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_log_probs_and_entropies_of_the_labels():
    logits = torch.randn(
        2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    labels = torch.tensor([[0, 4, 2], [1, 1, 3]])
    seen = {}

    def model(input_ids, **arguments):
        seen.update(arguments)
        return SimpleNamespace(logits=logits)

    result = get_response_log_probs(model, labels, labels, True, forward_kwargs={"dropout": "d"})
    assert seen == {"dropout": "d"}
    for b in range(2):
        for s in range(3):
            total = sum(math.exp(x) for x in logits[b, s].tolist())
            expected = logits[b, s, labels[b, s]].item() - math.log(total)
            assert result["log_probs"][b, s].item() == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(result["token_entropy"], compute_entropy(logits))
    assert result["log_probs"].requires_grad and not result["token_entropy"].requires_grad
    assert set(get_response_log_probs(model, labels, labels)) == {"log_probs"}

    def log_probs(x):
        return get_response_log_probs(lambda _: SimpleNamespace(logits=x), labels, labels)["log_probs"]

    assert torch.autograd.gradcheck(log_probs, logits)


def test_bf16_logits_are_scored_in_fp32():
    logits = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.tensor([[3, 4]])
    found = get_response_log_probs(lambda _: SimpleNamespace(logits=logits), labels, labels)["log_probs"]
    assert found.dtype == torch.float32
    expected = logits.double().log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


def test_the_decoder_and_transformers_agree(tmp_path):
    reference = save_reference(tmp_path)
    batch = tokenize_prompt_and_output(["Hi ", "x="], ["there", "1"], byte_tokenizer())
    arguments = (batch["input_ids"], batch["labels"], True)
    ours = get_response_log_probs(load_policy(tmp_path, torch.float32, torch.float32), *arguments)
    theirs = get_response_log_probs(reference, *arguments)
    for name in ("log_probs", "token_entropy"):
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=0)
