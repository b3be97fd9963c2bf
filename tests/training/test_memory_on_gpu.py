"""What spares memory, on a GPU: the same numbers there, in deterministic mode, and a smaller peak."""

import os
import subprocess
import sys

import pytest
import torch

from rlvr.arithmetic import configure_arithmetic
from rlvr.models.attention import AttentionDropout, training_kernel
from rlvr.models.decoder import Decoder
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.label_scores import Head, Scoring, label_scores
from rlvr.models.recomputation import recompute_layers
from rlvr.precision import Dropout

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

VOCABULARY = 5000
SIZES = DecoderConfig.from_hf(
    {
        "model_type": "qwen2",
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 512,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
)


@pytest.fixture(autouse=True)
def _deterministic():
    configure_arithmetic(1, True, 0)
    yield
    torch.set_deterministic_debug_mode("default")


def _draw(*shape):
    return torch.randn(shape, generator=torch.Generator("cuda").manual_seed(len(shape)), device="cuda")


@pytest.mark.parametrize("logits_fp32", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_chunks_are_one_pass_within_one_rounding(dtype, logits_fp32):
    hidden = _draw(2, 300, 128).to(dtype).requires_grad_()
    weight = (_draw(VOCABULARY, 128) / 11).requires_grad_()
    labels = torch.arange(600, device="cuda").view(2, 300)
    mask = _draw(2, 300) > -1
    head = Head(weight, None, dtype, logits_fp32)
    results = []
    for chunk in (None, 64):
        scoring = Scoring(True, torch.float32 if logits_fp32 else dtype, chunk)
        log_probs, entropies = label_scores(head, hidden, labels, mask, scoring)
        results.append(
            (log_probs, entropies, *torch.autograd.grad(log_probs, (hidden, weight), _draw(2, 300)))
        )
    for whole, parts in zip(*results, strict=True):
        rounding = max(torch.finfo(dtype).eps, 1e-6)
        largest = whole.abs().max().item()
        torch.testing.assert_close(parts, whole, rtol=rounding, atol=rounding * largest)


@pytest.mark.parametrize("rate", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputed_activations_give_equal_bits_in_less_memory(dtype, rate):
    with torch.device("cuda"):
        model = Decoder(SIZES, torch.float32, dtype)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator("cuda").manual_seed(0))
    ids = torch.arange(16 * 200, device="cuda").view(16, 200) % VOCABULARY
    results, peaks = [], []
    for recompute in (False, True):
        if recompute:
            recompute_layers(model)
        model.zero_grad()
        torch.cuda.reset_peak_memory_stats()
        generator = torch.Generator("cuda").manual_seed(1)
        dropout = AttentionDropout(Dropout(rate=rate), generator) if rate else None
        scoring = Scoring(chunk=256)
        log_probs, _ = model.label_scores(ids, ids.roll(-1, 1), torch.ones_like(ids) > 0, scoring, dropout)
        log_probs.square().sum().backward()
        peaks.append(torch.cuda.max_memory_allocated())
        results.append([log_probs.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for kept, computed_again in zip(*results, strict=True):
        assert torch.equal(kept, computed_again)
    assert peaks[1] < peaks[0]


def test_attention_is_a_fused_kernel_unless_there_is_dropout():
    kernels = {
        (dtype, dropout): training_kernel(4, 2, 64, dtype, torch.device("cuda"), dropout)
        for dtype, dropout in ((torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True))
    }
    assert list(kernels.values()) == ["efficient_attention", "flash_attention", "explicit"]


@pytest.mark.parametrize("variable", ["NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"])
def test_tf32_that_the_environment_forces_is_refused_or_has_no_effect(variable):
    code = (
        "import torch; from rlvr.arithmetic import configure_arithmetic; from rlvr.devices import *\n"
        "print(configure_arithmetic(1, True, 0)['tf32'])\n"
        "device = torch.device('cuda')\n"
        "try:\n    check_dtypes(device, ['float32'])\n"
        "except UserError as error:\n    print('refused', error)\n"
        "operand = torch.full((512, 512), 1 + 2.0**-13, device=device)\n"
        "print('exact', torch.equal(operand @ torch.eye(512, device=device), operand))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {variable: "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = answer.stdout
    assert ("refused" in said) == ("exact False" in said), said
    assert "refused" not in said or variable in said
