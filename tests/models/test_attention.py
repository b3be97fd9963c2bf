import math

import pytest
import torch

from rlvr.models.attention import SHORT, AttentionDropout, attend, attend_on_gpu
from rlvr.precision import Dropout


def attention_by_loops(queries, keys, values, mask):
    """Softmax attention of each query head over the key head of its group, in float64."""
    batch, heads, length, head_dim = queries.shape
    per_group = heads // keys.shape[1]
    out = torch.zeros(queries.shape, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for s in range(length):
                k, v = keys[b, h // per_group].double(), values[b, h // per_group].double()
                scores = (k @ queries[b, h, s].double()) / math.sqrt(head_dim)
                scores[~mask[b, 0, s]] = -torch.inf
                out[b, h, s] = scores.softmax(0) @ v
    return out


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("slots", [9, SHORT + 2])  # both sides of the choice between the two forms
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("function", [attend, attend_on_gpu])
def test_attention_equals_a_loop(dtype, tolerance, slots, causal, function):
    generator = torch.Generator().manual_seed(0)
    length = slots if causal else 1
    queries = torch.randn(2, 4, length, 8, generator=generator).to(dtype)
    keys, values = (torch.randn(2, 2, slots, 8, generator=generator).to(dtype) for _ in range(2))
    mask = torch.ones(2, 1, length, slots, dtype=torch.bool)
    if causal:
        mask = mask.tril()
    else:
        mask[0, :, :, 5:] = False
    others = (None,) if function is attend else ()  # the form for GPUs is one without dropout
    result = function(queries, keys, values, None if causal else mask, *others)
    assert result.dtype == dtype
    torch.testing.assert_close(
        result.double(), attention_by_loops(queries, keys, values, mask), atol=tolerance, rtol=0
    )


def test_dropout_keeps_the_mean_in_bf16():
    """Of values that are all one, the mean over many masks is one; with a factor rounded to bf16, 0.9984."""
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(64, 8, 64, 8, generator=generator).bfloat16() for _ in range(2))
    dropout = AttentionDropout(Dropout("standard", 0.1), generator)
    mask = torch.ones(64, 1, 64, 64, dtype=torch.bool)
    totals = attend(queries, keys, torch.ones_like(keys), mask, dropout).float()[..., 0]
    error = totals.std().item() / totals.numel() ** 0.5
    assert error < 0.0004
    assert totals.mean().item() == pytest.approx(1.0, abs=3 * error)
