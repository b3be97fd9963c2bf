"""The check of an engine's weights, with engines of this package."""

import pytest
import torch
from small_models import save_reference

from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.tokenizers import character_tokenizer
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.freshness import TOLERANCES, StaleEngine, check_fresh, differences, policy_reference, probes
from rlvr.rollout.native import NativeEngine


@pytest.fixture
def policy(tmp_path):
    small = {"vocab_size": 24, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    save_reference(tmp_path, "qwen2", character_tokenizer(), **small)
    return load_policy(tmp_path, torch.float32, torch.float32), load_tokenizer(tmp_path)


def draw(engine):
    requests = [GenerationRequest(str(index), text, 8) for index, text in enumerate(("12+3=", "9"))]
    return engine.generate(requests, SamplingParams(8), seed=0)


def test_an_engine_with_the_policys_weights_is_fresh_and_another_is_stale(policy):
    model, tokenizer = policy
    reference = policy_reference(model, tokenizer.pad_token_id)
    engine = NativeEngine(model, tokenizer, torch.float32, 64)
    rollouts = draw(engine)
    assert differences(rollouts, reference).shape == (sum(len(one.token_ids) for one in rollouts),)
    check_fresh(rollouts, reference, TOLERANCES[torch.float32])
    with torch.no_grad():
        model.model.norm.weight.mul_(1.01)
    with pytest.raises(StaleEngine, match=r"differ from those of the policy by 0.0\d+ nats on average"):
        check_fresh(draw(engine), reference, TOLERANCES[torch.float32])
    engine.load_weights(model.named_parameters())
    check_fresh(draw(engine), reference, TOLERANCES[torch.float32])


def test_a_difference_that_is_no_number_is_stale(policy):
    rollouts = draw(NativeEngine(*policy, torch.float32, 64))
    with pytest.raises(StaleEngine):
        check_fresh(rollouts, lambda prompts, ids: [[float("nan")] * len(one) for one in ids], 1.0)


def test_probes_fit_the_model_and_are_always_the_same():
    asked, length = probes(vocabulary=24, max_positions=12)
    assert {len(one.prompt_ids) + length for one in asked} == {12}
    assert all(0 <= token < 24 for one in asked for token in one.prompt_ids)
    assert probes(24, 12) == (asked, length)
    assert len({one.prompt_ids for one in asked}) == len(asked)
