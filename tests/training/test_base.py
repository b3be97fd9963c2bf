import csv
import dataclasses

import pytest
import torch
from sent_sigterm import end_by_sigterm
from small_models import save_reference
from tiny_run import BASE

from rlvr.config.build import build
from rlvr.config.policy import PretrainedPolicyConfig, TinyPolicyConfig
from rlvr.errors import UserError
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.weights import read_weights, weight_hash
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.opening import open_engine
from rlvr.training import base
from rlvr.training.sft import METRIC_COLUMNS, Sft

CONFIG = build(TinyPolicyConfig, BASE | {"sft": BASE["sft"] | {"steps": 10, "log_every_steps": 4}})


def prepare(folder, config=CONFIG):
    """Prepare into the folder; the hash of the weights."""
    base.prepare_base_policy(
        config=config,
        data_root="",
        device="cpu",
        policy_path=folder / "policy",
        metrics_path=folder / "metrics.csv",
        checkpoints_path=folder / "checkpoints",
    )
    return weight_hash(read_weights(folder / "policy"))


def metrics(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_config_gives_the_same_weights(tmp_path):
    first = prepare(tmp_path / "a")
    assert prepare(tmp_path / "b") == first
    assert prepare(tmp_path / "c", dataclasses.replace(CONFIG, seed=1)) != first
    assert {tensor.dtype for _, tensor in read_weights(tmp_path / "a" / "policy")} == {torch.bfloat16}
    assert not (tmp_path / "a" / "checkpoints").exists()
    assert [row["step"] for row in metrics(tmp_path / "a")] == ["4", "8", "10"]


def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    expected = prepare(tmp_path / "whole")
    save = base.save_checkpoint

    def save_and_die(folder, step, state, identity):
        save(folder, step, state, identity)
        if step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(base, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            prepare(tmp_path / "cut")
    assert not (tmp_path / "cut" / "policy").exists()
    steps = []
    monkeypatch.setattr(base, "save_checkpoint", lambda folder, step, state, identity: steps.append(step))
    assert prepare(tmp_path / "cut") == expected
    assert steps == [6, 8]  # 2 and 4 were not done again


@pytest.mark.parametrize("step", [1, 5, 10])
def test_a_training_that_gets_a_sigterm_resumes_to_the_same_weights(tmp_path, monkeypatch, step):
    expected = prepare(tmp_path / "whole")
    end_by_sigterm(monkeypatch, Sft, "_step", step, lambda: prepare(tmp_path / "cut"))
    assert prepare(tmp_path / "cut") == expected
    losses = [[row["loss"] for row in metrics(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == losses[1]


def test_another_config_does_not_resume(tmp_path, monkeypatch):
    other = dataclasses.replace(CONFIG, seed=1)
    expected = prepare(tmp_path / "whole", other)
    with monkeypatch.context() as patch:
        patch.setattr(base, "_save_tiny", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(tmp_path / "cut")
    assert any((tmp_path / "cut" / "checkpoints").iterdir())
    assert prepare(tmp_path / "cut", other) == expected


def test_transformers_loads_what_was_trained(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prepare(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "policy", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    assert len(tokenizer) == theirs.config.vocab_size == 24
    ids = tokenizer("m:91,38=", return_tensors="pt").input_ids
    ours = load_policy(tmp_path / "policy", torch.float32, torch.float32)
    torch.testing.assert_close(theirs(ids).logits, ours(ids).logits, atol=1e-5, rtol=0)


def test_sizes_that_do_not_divide_are_refused(tmp_path):
    wrong = dataclasses.replace(CONFIG.architecture, heads=3)
    with pytest.raises(UserError, match="hidden_size 32 must be an even multiple of heads 3"):
        prepare(tmp_path, dataclasses.replace(CONFIG, architecture=wrong))


def test_rows_of_the_embedding_beyond_the_tokenizer_are_drawn_too(tmp_path):
    """As with larger models, whose vocabularies are padded; such an id has no text."""
    wide = dataclasses.replace(CONFIG.architecture, vocab_size=600)
    config = dataclasses.replace(CONFIG, architecture=wide, sft=dataclasses.replace(CONFIG.sft, steps=1))
    prepare(tmp_path, config)
    model = load_policy(tmp_path / "policy", torch.float32, torch.float32)
    assert model.config.vocab_size == 600
    engine = open_engine(model, load_tokenizer(tmp_path / "policy"), torch.float32, 16)
    rollouts = engine.generate([GenerationRequest("a", "m:91,38=", 16)], SamplingParams(max_tokens=8), seed=0)
    assert max(max(rollout.token_ids) for rollout in rollouts) >= 24
    beyond = next(rollout for rollout in rollouts if any(token >= 24 for token in rollout.token_ids))
    assert len(beyond.text) < len(beyond.token_ids)


def test_fewer_rows_than_tokens_are_refused(tmp_path):
    narrow = dataclasses.replace(CONFIG.architecture, vocab_size=23)
    with pytest.raises(
        UserError, match="vocab_size is 23, but the tokenizer has 24 tokens; allowed: 24 or more"
    ):
        prepare(tmp_path, dataclasses.replace(CONFIG, architecture=narrow))


def test_a_pretrained_policy_becomes_links(tmp_path):
    source = tmp_path / "source"
    expected = weight_hash(save_reference(source).named_parameters())
    config = PretrainedPolicyConfig(kind="pretrained", path=str(source))
    assert prepare(tmp_path / "out", config) == expected
    assert (tmp_path / "out" / "policy" / "model.safetensors").is_symlink()
    assert load_tokenizer(tmp_path / "out" / "policy").encode("A") == [65]
    assert (tmp_path / "out" / "metrics.csv").read_text().strip() == ",".join(METRIC_COLUMNS)


def test_a_pretrained_policy_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        prepare(tmp_path, PretrainedPolicyConfig(kind="pretrained", path=str(tmp_path / "gone")))
    assert not (tmp_path / "policy").exists()
