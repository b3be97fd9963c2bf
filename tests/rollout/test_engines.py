"""Both engines against transformers' `generate` and against full forward passes."""

import dataclasses

import pytest
import torch
from small_models import save_reference

from rlvr.data.families import CHARACTERS
from rlvr.errors import UserError
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.tokenizers import PAD_TOKEN, character_tokenizer
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.native import NativeEngine
from rlvr.rollout.opening import open_engine
from rlvr.rollout.transformers_engine import TransformersEngine

FP32, BF16 = torch.float32, torch.bfloat16
EOS = 1
PROMPTS = ("12+3=", "9", "s:40231=", "t:321=")


@dataclasses.dataclass(frozen=True)
class Setup:
    reference: torch.nn.Module
    model: torch.nn.Module
    tokenizer: object
    kind: type

    def engine(self, max_batch_rows=64, dtype=FP32):
        return open_engine(self.model, self.tokenizer, dtype, max_batch_rows)


@pytest.fixture(scope="module", params=["qwen2", "gpt2"])
def setup(request, tmp_path_factory):
    """The native engine for a Qwen2 model, the other one for GPT-2; one token in 24 is the end."""
    folder = tmp_path_factory.mktemp(request.param)
    small = {"vocab_size": 24, "bos_token_id": None, "eos_token_id": EOS, "pad_token_id": 0}
    reference = save_reference(
        folder, request.param, character_tokenizer(), tie_word_embeddings=True, **small
    )
    kind = NativeEngine if request.param == "qwen2" else TransformersEngine
    return Setup(reference, load_policy(folder, FP32, FP32), load_tokenizer(folder), kind)


def requests(samples, prompts=PROMPTS):
    return [GenerationRequest(f"p{index}", text, samples) for index, text in enumerate(prompts)]


def test_the_right_engine_is_opened(setup):
    with setup.engine() as engine:
        assert isinstance(engine, setup.kind)


def test_greedy_equals_generate_of_transformers(setup):
    rollouts = setup.engine().generate(requests(1), SamplingParams(max_tokens=20, temperature=0.0), seed=0)
    for text, rollout in zip(PROMPTS, rollouts, strict=True):
        prompt = torch.tensor([setup.tokenizer.encode(text)])
        expected = setup.reference.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=EOS,
            pad_token_id=0,
        )[0, prompt.shape[1] :].tolist()
        assert list(rollout.token_ids) == expected
        assert rollout.prompt_ids == tuple(prompt[0].tolist())


def test_log_probs_equal_a_full_forward_at_temperature_one(setup):
    """Also when sampled at another temperature, from a nucleus, and with ending forbidden at first."""
    params = SamplingParams(max_tokens=12, temperature=0.7, top_p=0.9, min_tokens=3)
    for rollout in setup.engine(max_batch_rows=7).generate(requests(4), params, seed=3):
        ids = torch.tensor([[*rollout.prompt_ids, *rollout.token_ids]])
        expected = setup.reference(ids).logits.log_softmax(-1)[0, len(rollout.prompt_ids) - 1 : -1]
        expected = expected.gather(1, torch.tensor(rollout.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(rollout.log_probs), expected, atol=1e-5, rtol=0)


def test_responses_end_at_eos_or_at_the_limit(setup):
    rollouts = setup.engine().generate(requests(24), SamplingParams(max_tokens=10), seed=0)
    assert {rollout.finish_reason for rollout in rollouts} == {"stop", "length"}
    for rollout in rollouts:
        ended = rollout.finish_reason == "stop"
        assert EOS not in rollout.token_ids[:-1]
        assert (rollout.token_ids[-1] == EOS) == ended
        assert ended or len(rollout.token_ids) == 10
        assert len(rollout.log_probs) == len(rollout.token_ids)
        assert rollout.text == setup.tokenizer.decode(rollout.token_ids, skip_special_tokens=True)


def test_batching_and_company_never_change_a_draw(setup):
    params = SamplingParams(max_tokens=10, top_p=0.95)
    together = setup.engine().generate(requests(6), params, seed=5)
    assert [rollout.sample for rollout in together] == [*range(6)] * 4
    assert [rollout.prompt_id for rollout in together] == [f"p{i}" for i in range(4) for _ in range(6)]
    tokens = {(rollout.prompt_id, rollout.sample): rollout.token_ids for rollout in together}
    assert len(set(tokens.values())) > 20
    apart = setup.engine(max_batch_rows=5).generate(requests(6)[::-1], params, seed=5)
    alone = setup.engine().generate(requests(6)[2:3], params, seed=5)
    for rollout in [*apart, *alone]:
        assert rollout.token_ids == tokens[rollout.prompt_id, rollout.sample]
    other = setup.engine().generate(requests(6), params, seed=6)
    assert [r.token_ids for r in other] != [r.token_ids for r in together]


def test_a_prompt_asked_for_again_draws_anew(setup):
    params = SamplingParams(max_tokens=8)
    request = requests(1)[0]
    twice = setup.engine().generate([request, request], params, seed=0)
    assert twice[0].token_ids != twice[1].token_ids
    assert setup.engine().generate([request], params, seed=0)[0].token_ids == twice[0].token_ids


def test_min_tokens_forbids_ending_before(setup):
    rollouts = setup.engine().generate(requests(80), SamplingParams(10, min_tokens=5), seed=0)
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    assert min(lengths) == 6  # five tokens, then EOS is allowed
    with_stop = SamplingParams(10, min_tokens=5, stop=tuple(CHARACTERS))
    assert min(len(r.token_ids) for r in setup.engine().generate(requests(24), with_stop, seed=0)) == 5


def test_stop_strings_end_a_response_and_stay_in_it(setup):
    free = setup.engine().generate(requests(24), SamplingParams(10), seed=0)
    stop = next(rollout.text[2:4] for rollout in free if len(rollout.text) > 5)
    stopped = setup.engine(max_batch_rows=17).generate(requests(24), SamplingParams(10, stop=(stop,)), seed=0)
    hits = 0
    for before, after in zip(free, stopped, strict=True):
        assert after.token_ids == before.token_ids[: len(after.token_ids)]
        if stop in before.text:
            hits += 1
            assert after.text == before.text[: before.text.index(stop) + len(stop)]
            assert after.finish_reason == "stop"
        else:
            assert after.text == before.text
            assert after.finish_reason == before.finish_reason
    assert hits
    params = SamplingParams(10, stop=(stop,), keep_stop=False)
    for kept, cut in zip(
        stopped, setup.engine(max_batch_rows=17).generate(requests(24), params, seed=0), strict=True
    ):
        assert (cut.token_ids, cut.text) == (kept.token_ids, kept.text.removesuffix(stop))


@pytest.mark.parametrize("how", ["end_ids", "stop"])
def test_other_tokens_that_end_a_response(setup, how, monkeypatch):
    """An id of the model's own files, and a special token (here the pad token) as a stop string."""
    other = setup.tokenizer.pad_token_id if how == "stop" else setup.tokenizer.encode("7")[0]
    free = setup.engine().generate(requests(24), SamplingParams(10), seed=0)
    if how == "end_ids":
        monkeypatch.setattr(setup.model, "end_ids", frozenset({other, 50256}))  # one it does not have
    stop = (PAD_TOKEN, "99") if how == "stop" else ("99",)
    ended = setup.engine(max_batch_rows=17).generate(requests(24), SamplingParams(10, stop=stop), seed=0)
    hits = 0
    for before, after in zip(free, ended, strict=True):
        assert after.token_ids == before.token_ids[: len(after.token_ids)]
        assert other not in after.token_ids[:-1]
        if after.token_ids[-1] == other:
            hits += 1
            assert after.finish_reason == "stop"
            assert after.text == setup.tokenizer.decode(after.token_ids, skip_special_tokens=True)
    assert hits
    forbidden = SamplingParams(10, min_tokens=8, stop=stop)
    for rollout in setup.engine().generate(requests(24), forbidden, seed=0):
        assert not {other, EOS} & set(rollout.token_ids[:8])


def test_shared_weights_sample_the_same_and_are_not_written(setup):
    params = SamplingParams(max_tokens=10)
    engine = open_engine(setup.model, setup.tokenizer, FP32, 64, share_weights=True)
    assert engine.generate(requests(2), params, 0) == setup.engine().generate(requests(2), params, 0)
    if setup.kind is NativeEngine:
        assert {id(w) for _, w in engine.named_weights()} == {id(w) for w in setup.model.parameters()}
        with pytest.raises(RuntimeError, match="another model's weights"):
            engine.load_weights(setup.model.named_parameters())
    other_dtype = open_engine(setup.model, setup.tokenizer, BF16, 64, share_weights=True)
    assert {weight.dtype for _, weight in other_dtype.named_weights()} == {BF16}


def test_weights_are_copied_cast_and_checked(setup):
    engine = setup.engine(dtype=BF16)
    assert {weight.dtype for _, weight in engine.named_weights()} == {BF16}
    params = SamplingParams(max_tokens=10)
    first = engine.generate(requests(2), params, seed=0)
    changed = {name: weight.detach() * 1.5 for name, weight in setup.model.named_parameters()}
    engine.load_weights(changed.items())
    for name, weight in engine.named_weights():
        assert torch.equal(weight, changed[name].to(BF16))
    assert engine.generate(requests(2), params, seed=0) != first
    engine.load_weights(setup.model.named_parameters())
    assert engine.generate(requests(2), params, seed=0) == first
    with pytest.raises(UserError, match="missing"):
        engine.load_weights(list(changed.items())[1:])
    with pytest.raises(UserError, match="extra is not part"):
        engine.load_weights([*changed.items(), ("extra", torch.zeros(1))])


def test_what_leaves_no_room_is_named(setup):
    with pytest.raises(UserError, match=r"prompt p1: 60 prompt tokens and max_tokens 5 .* 64 positions"):
        setup.engine().generate(requests(1, ("12", "1" * 60)), SamplingParams(5), seed=0)
    with pytest.raises(UserError, match="prompt p0: it has no tokens"):
        setup.engine().generate(requests(1, ("",)), SamplingParams(5), seed=0)
    rollouts = setup.engine().generate(requests(1, ("1" * 59,)), SamplingParams(5, min_tokens=5), seed=0)
    assert len(rollouts[0].token_ids) == 5


def test_diverged_weights_are_an_error(setup):
    engine = setup.engine()
    broken = {name: torch.full_like(weight, torch.nan) for name, weight in setup.model.named_parameters()}
    engine.load_weights(broken.items())
    with pytest.raises(FloatingPointError, match="diverged"):
        engine.generate(requests(1), SamplingParams(3), seed=0)


def test_nothing_asked_is_nothing_drawn(setup):
    assert setup.engine().generate([], SamplingParams(3), seed=0) == []


def test_autocast_of_the_trainer_does_not_reach_the_engine(tmp_path):
    save_reference(tmp_path, "gpt2")
    mixed, plain = load_policy(tmp_path, FP32, BF16), load_policy(tmp_path, FP32, FP32)
    tokenizer, params = load_tokenizer(tmp_path), SamplingParams(6)
    drawn = [open_engine(m, tokenizer, FP32, 8).generate(requests(2), params, 0) for m in (mixed, plain)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("family", ["mistral", "gpt_neox"])
@pytest.mark.parametrize("master, dtype", [(FP32, BF16), (BF16, BF16), (FP32, FP32)])
def test_buffers_are_the_trainers(tmp_path, family, master, dtype):
    """RoPE's frequencies stay in fp32 in an engine of bf16, as in the model that is trained."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": 24, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1} if family == "mistral" else {}
    config = AutoConfig.for_model(
        family, **sizes, **(heads or {"num_attention_heads": 2}), eos_token_id=EOS, bos_token_id=None
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = load_policy(tmp_path, master, master)
    with torch.no_grad():
        for _, buffer in model.named_buffers():
            buffer.mul_(1.5)  # as a buffer that was stored with the weights would differ from a new one
    engine = TransformersEngine(model, character_tokenizer(), dtype, 8)
    theirs = dict(model.named_buffers())
    ours = dict(engine._model.named_buffers())
    assert ours.keys() == theirs.keys() != set()
    for name, buffer in ours.items():
        assert buffer.dtype == theirs[name].dtype
        assert torch.equal(buffer, theirs[name])
    assert {weight.dtype for _, weight in engine.named_weights()} == {dtype}
    assert len(engine.generate(requests(2), SamplingParams(3), seed=0)) == 8


def test_rows_that_agree_so_far_are_computed_once(tmp_path):
    """Fewer forward rows than responses, and each response is what it is when drawn alone."""
    save_reference(tmp_path)
    model, tokenizer = load_policy(tmp_path, torch.float32, torch.float32), load_tokenizer(tmp_path)
    sampling = SamplingParams(max_tokens=5, temperature=0.05)  # cold, so that samples agree for a while
    widths = []
    with open_engine(model, tokenizer, torch.float32, 64) as engine:
        advance = engine._advance
        engine._advance = lambda tokens: widths.append(len(tokens)) or advance(tokens)
        together = engine.generate(
            [GenerationRequest("a", "hello", 12), GenerationRequest("b", "hello", 12)], sampling, 3
        )
    assert max(widths) < 24
    with open_engine(model, tokenizer, torch.float32, 1) as engine:
        alone = engine.generate(
            [GenerationRequest("a", "hello", 12), GenerationRequest("b", "hello", 12)], sampling, 3
        )
    assert [rollout.token_ids for rollout in together] == [rollout.token_ids for rollout in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)
