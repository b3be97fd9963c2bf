from dataclasses import replace

import pytest
import torch
import yaml

from rlvr.config.load import load_config
from rlvr.diagnostics.sparsity import movable_fraction
from rlvr.models.weights import read_weights
from rlvr.plan.movable import movable_shares
from rlvr.plan.study import study_to_plan
from rlvr.plan.warnings import find_warnings, normal_movable_fraction, too_large


@pytest.mark.parametrize("lr", [1e-8, 1e-6, 5e-5, 1e-3, 0.1])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_movable_share_of_normal_weights(lr, dtype):
    draws = torch.randn(200_000, generator=torch.Generator().manual_seed(0)) * 0.02
    measured = movable_fraction(draws.to(getattr(torch, dtype)), lr)
    # Three standard errors of a share of 200,000, and the weights on a power of two, whose lower gap is half.
    assert normal_movable_fraction(lr, dtype) == pytest.approx(measured, abs=0.01)


def test_the_movable_share_of_the_source_study():
    assert normal_movable_fraction(1e-6, "bfloat16") == pytest.approx(0.0195, abs=5e-5)
    assert normal_movable_fraction(0.0, "bfloat16") == 0


def warnings_of(tmp_path, changes, study="precision", prompt=None):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"name": "nothing-here", **changes}))
    config = load_config(file)
    planned = study_to_plan(config, study, prompt)
    return find_warnings(config, planned, *movable_shares(planned))


def test_the_default_config_has_no_warning(tmp_path):
    for study in ("precision", "alignment", "advantage"):
        assert warnings_of(tmp_path, {}, study) == []


MATH_7B = {"kind": "pretrained", "path": "Qwen/Qwen2.5-Math-7B", "revision": "0" * 40}
RATE = {"optimizer": {"learning_rate": 1e-6}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"precision": {"training": RATE}},
            [
                "bf16: a step of the learning rate 1e-06 can move only 1.9 % of the bfloat16 weights "
                "(estimated"
            ],
        ),
        ({"precision": {"dropout_rate": 0.0}}, ["bf16: precision.dropout_rate is 0"]),
        (
            {"precision": {"training": {"steps": 2, "advantage": {"estimator": "per_prompt_ema"}}}},
            ["precision.training.advantage.min_count: a prompt gets 0.2"],
        ),
        ({"base": MATH_7B}, ["device: cpu, for a policy of 7,615,616,512 parameters"]),
        ({"precision": {"repeats": 2}}, ["precision.repeats is 2, but on a CPU"]),
    ],
)
def test_each_warning_names_its_key(tmp_path, changes, said):
    if "training" in changes.get("precision", {}):
        changes["precision"]["training"].setdefault("snapshot_steps", [1])
    found = warnings_of(tmp_path, changes)
    assert len(found) == len(said)
    for warning, start in zip(found, said, strict=True):
        assert warning.startswith(start)


def test_a_prompt_that_leaves_no_room(tmp_path):
    found = warnings_of(tmp_path, {}, prompt=27)
    assert "a prompt of 27 tokens and a response of 6 are more than the model's 32 positions" in found[0]
    assert len(found) == 7  # training and the six tasks
    assert warnings_of(tmp_path, {}, prompt=26) == []


def test_a_tracker_of_the_advantage_study_that_is_never_used(tmp_path):
    changes = {"advantage": {"grpo": {"settings": {"steps": 2}, "comparison": {"score_steps": 1}}}}
    found = warnings_of(tmp_path, changes, "advantage")
    assert found[0].startswith("advantage.grpo.settings.min_count: a prompt gets 2.0 rewards")


def said_of(study, rows, drawn, mode=0):
    return list(too_large(study, study.modes[mode], rows, drawn, 80e9))


def test_what_does_not_fit_is_said(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"device": "cuda", "base": MATH_7B}))
    study = study_to_plan(load_config(file), "precision")
    assert [text.split(";")[1] for text in said_of(study, 3, 100)] == [
        " allowed: at most 3",
        " allowed: max_batch_rows of 100",
    ]
    assert not said_of(study, study.load.rows, study.load.drawn_rows)


def test_where_the_weights_alone_do_not_fit_they_are_named_and_more_gpus(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"device": "cuda", "base": MATH_7B}))
    study = study_to_plan(load_config(file), "precision")
    trained, drawn = said_of(study, 0, 0)
    start = "fp32: not even one row of 4,095 tokens can be trained on 1 GPU: "
    assert trained.startswith(start)
    # Weights, gradients and state 121.8, base and engine 30.5 each, records 45.9.
    assert "largest: Adam's moments 60.9" in trained
    assert "more GPUs by precision.training.trainer.gpus" in trained
    assert "probabilities of every pair" not in trained  # fp32 has no dropout
    assert drawn.startswith("fp32: not even one row can be drawn on 1 GPU: ")
    assert "of 72.0 in phase sampling (largest: Adam's moments 60.9, weights 30.5" in drawn


def test_where_activations_or_logits_do_not_fit_their_keys_are_named(tmp_path):
    file = tmp_path / "config.yaml"
    training = {"training": {"trainer": {"gpus": 64}}, "modes": ["fp32", "bf16"]}
    resources = {"train_policy": {"gpu": 64}}
    changes = {"device": "cuda", "base": MATH_7B, "precision": training, "resources": resources}
    file.write_text(yaml.safe_dump(changes))
    study = study_to_plan(load_config(file), "precision")
    (said,) = said_of(study, 0, study.load.drawn_rows, mode=1)
    assert "can be trained on 64 GPUs: " in said
    assert "What helps: precision.training.trainer.recompute_activations (dropout keeps" in said
    assert "vocabulary_chunk" not in said  # responses have six tokens
    alone = replace(study, name="alignment", processes=1)
    (said,) = said_of(alone, 0, study.load.drawn_rows, mode=1)
    assert "trainer.gpus" not in said


def test_a_budget_of_tokens_is_planned_in_rows_of_the_longest(tmp_path):
    file = tmp_path / "config.yaml"
    trainer = {"microbatch_tokens": 10_000, "recompute_activations": True, "vocabulary_chunk": 7}
    training = {"training": {"trainer": trainer}}
    file.write_text(yaml.safe_dump({"device": "cuda", "base": MATH_7B, "precision": training}))
    study = study_to_plan(load_config(file), "precision")
    assert (study.load.rows, study.load.tokens) == (3, 10_000)  # rows of at most 4,095 tokens
    assert (study.load.recompute_activations, study.load.vocabulary_chunk) == (True, 7)
    (said,) = said_of(study, 2, study.load.drawn_rows)
    assert said.endswith("microbatches of 10000 tokens do not fit on 1 GPU; allowed: at most 8190")
    assert replace(study.load, microbatch_tokens=100).tokens == 4095  # a longer row is alone


def test_the_share_is_measured_on_a_policy_that_is_here(tmp_path, monkeypatch, small_base):
    monkeypatch.chdir(tmp_path)
    built = tmp_path / "results" / "nothing-here" / "base"
    built.mkdir(parents=True)
    (built / "policy").symlink_to(small_base / "policy")
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"name": "nothing-here", "precision": {"modes": ["fp32", "bf16"]}}))
    study = study_to_plan(load_config(file), "precision")
    shares, measured = movable_shares(study)
    weights = {name: weight.to(torch.bfloat16) for name, weight in read_weights(small_base / "policy")}
    assert measured
    assert shares["bf16"] == movable_fraction(weights, 5e-5)
    assert shares["fp32"] > shares["bf16"]


def test_memory_that_vllm_takes_is_not_in_the_plan(tmp_path):
    rollout = {"engine": "vllm", "vllm": {"gpu_memory_utilization": 0.35}}
    changes = {"precision": {"training": {"rollout": rollout}}}
    (found,) = warnings_of(tmp_path, changes)
    assert "vLLM takes 35 % of each of its GPUs (gpu_memory_utilization)" in found
    assert warnings_of(tmp_path, changes, "alignment") == []
