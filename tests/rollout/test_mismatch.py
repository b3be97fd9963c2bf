"""Engine and trainer whose kernels differ: their log-probabilities part by rounding, most in bf16."""

import math
from itertools import chain

import numpy as np
import pytest
import torch
from torch.nn import functional

from rlvr.data.problem import read_problems
from rlvr.models import decoder
from rlvr.models.attention import _attend_explicitly
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.policy import collate, get_response_log_probs
from rlvr.rollout.engine import SamplingParams
from rlvr.rollout.judged import draw_rollouts
from rlvr.rollout.opening import open_engine

SAMPLES, TOKENS = 8, 4


def _fused(queries, keys, values, mask, dropout):
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )


def _differences(folder, dtype, monkeypatch, engine_attention=None, trainer_attention=None) -> np.ndarray:
    """log π of the trainer − log μ of the engine of each token that the engine has sampled."""
    tokenizer, policy = load_tokenizer(folder / "policy"), load_policy(folder / "policy", dtype, dtype)
    problems = read_problems(folder / "train.jsonl")
    with monkeypatch.context() as context, open_engine(policy, tokenizer, dtype, 256) as engine:
        if engine_attention:
            context.setattr(decoder, "attend", engine_attention)
        rollouts = draw_rollouts(problems, "plain", SAMPLES, SamplingParams(TOKENS), engine, seed=0)
    batch = collate(
        [rollout.prompt_ids for rollout in rollouts],
        [rollout.token_ids for rollout in rollouts],
        tokenizer.pad_token_id,
    )
    with monkeypatch.context() as context, torch.no_grad():
        if trainer_attention:
            context.setattr(decoder, "attend", trainer_attention)
        scores = get_response_log_probs(policy, batch["input_ids"], batch["labels"])["log_probs"]
    trainer = scores[batch["response_mask"]].double().numpy()
    return trainer - np.array(list(chain.from_iterable(rollout.log_probs for rollout in rollouts)))


def _rounding_level(folder) -> float:
    """√n·u·max|logit|: n roundings along the longest chain of operations, each by at most u = 2⁻²⁴.

    The chain: of each layer the sums of two norms, of the projections, of scores, softmax and mixing over the
    sequence, and of the MLP; then the last norm, the head and the softmax. Rounding errors of either sign add
    up by the square root of their number (Higham & Mary 2019, SIAM J. Sci. Comput. 41:A2815).
    """
    policy = load_policy(folder / "policy", torch.float32, torch.float32)
    shape = policy.config
    sequence = shape.max_positions
    layer = 2 * shape.hidden_size + 3 * shape.hidden_size + shape.head_dim + 2 * sequence + shape.mlp_size
    chain_length = shape.layers * layer + 2 * shape.hidden_size + shape.vocab_size
    with torch.no_grad():
        logits = policy(torch.arange(shape.vocab_size)[None, :sequence]).logits
    return math.sqrt(chain_length) * 2.0**-24 * float(logits.abs().max())


@pytest.mark.parametrize(
    "attentions", [(None, None), (_attend_explicitly, _fused), (_fused, _attend_explicitly)]
)
def test_fp32_parts_at_rounding_level(small_base, monkeypatch, attentions):
    differences = _differences(small_base, torch.float32, monkeypatch, *attentions)
    assert len(differences) > 1000
    assert np.abs(differences).max() <= _rounding_level(small_base)


def test_fp16_parts_several_times_less_than_bf16(small_base, monkeypatch):
    """By 2³ = 8, were the mismatch proportional to the unit roundoff."""
    kernels = _attend_explicitly, _fused
    bf16, fp16 = (
        np.abs(_differences(small_base, dtype, monkeypatch, *kernels))
        for dtype in (torch.bfloat16, torch.float16)
    )
    assert np.mean(fp16 > 0) > 0.5  # the kernels do differ
    assert bf16.mean() > 2 * fp16.mean()
