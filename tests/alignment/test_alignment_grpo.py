"""GRPO arms: the configuration of the loop, whole arms of two seeds, resume, divergence."""

import csv
from dataclasses import asdict, replace

import pytest
import torch
from sent_sigterm import end_by_sigterm
from tiny_arm import make_files
from tiny_run import make_job

from rlvr.alignment import arm as arm_module
from rlvr.alignment.grpo import grpo_config, train_grpo_arm
from rlvr.alignment.job import ArmInputs, Common, GrpoJob
from rlvr.config.alignment import (
    GrpoSettings,
    OptimizationConfig,
    PromptConfig,
    ValidationConfig,
)
from rlvr.config.precision import AdvantageConfig, SamplingConfig
from rlvr.data.families import family_problems
from rlvr.data.problem import read_problems
from rlvr.errors import UserError
from rlvr.files import read_json, read_jsonl, write_jsonl
from rlvr.models.loading import load_policy
from rlvr.models.weights import weight_hash
from rlvr.training import grpo as grpo_module
from rlvr.training import update
from rlvr.training.run import TrainingFiles, train_policy
from rlvr.training.trainer import Trainer

SETTINGS = GrpoSettings(
    steps=2,
    rollout_batch_size=16,
    group_size=4,
    train_batch_size=8,
    gradient_accumulation_steps=2,
    epochs_per_rollout_batch=2,
    learning_rate=1e-4,
    advantage_eps=1e-6,
    use_std_normalization=True,
    advantage="group",
    buffer_size=32,
    min_count=16,
    decay=0.9,
    loss_type="grpo_clip",
    cliprange=0.2,
    length_normalization="masked_mean",
    normalize_constant=4.0,
    prompt="bare",
    validate_every_steps=1,
    checkpoint_every_steps=1,
)
GENERATION = SamplingConfig(
    temperature=1.0, top_p=1.0, max_tokens=4, min_tokens=0, stop=(), max_batch_rows=64
)
OPTIMIZATION = OptimizationConfig(betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, max_grad_norm=1.0)
TIMES = ("seconds", "per_second")


def _job(**settings):
    known = make_job()
    common = Common(
        seeds=2,
        mode=known.mode,
        prompt=PromptConfig("plain", "exact"),
        generation=GENERATION,
        validation=ValidationConfig(rows=40, final_rows=80, seed=0, logged=3),
        optimization=OPTIMIZATION,
        collapse_share=0.1,
        device="cpu",
        compute_threads=1,
        verification=known.verification,
    )
    return GrpoJob("default", replace(SETTINGS, **settings), common)


@pytest.fixture(scope="module")
def inputs(small_base, tmp_path_factory):
    """Problems name a verifier that does not exist: that of the arm's prompt must take its place."""
    folder = tmp_path_factory.mktemp("data")
    paths = {"examples": folder / "train.jsonl", "validation": folder / "validation.jsonl"}
    for path, split in zip(paths.values(), ("train", "held_out"), strict=True):
        problems = family_problems("max", split)[::20]
        write_jsonl(path, [asdict(problem) | {"verifier": "none of ours"} for problem in problems])
    return ArmInputs(str(small_base / "policy"), *map(str, paths.values()))


def _files(folder):
    return replace(make_files(folder / "out"), checkpoints=str(folder / "checkpoints"))


def _table(path):
    """Rows of a table without what a clock has measured."""
    with open(path) as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not any(time in k for time in TIMES)} for row in rows]


def _outcome(files):
    """Everything of an arm that must not depend on interruptions."""
    hashes = [run["weight_hash"] for run in read_json(files.provenance)["runs"]]
    return _table(files.metrics), _table(files.validation), list(read_jsonl(files.generations)), hashes


@pytest.fixture(scope="module")
def arm(inputs, tmp_path_factory):
    files = _files(tmp_path_factory.mktemp("arm"))
    train_grpo_arm(_job(), inputs, files, 1, "code")
    return files


def test_an_arm_trains_and_validates_every_seed(arm, inputs):
    metrics, validation, generations, hashes = _outcome(arm)
    assert [(row["seed"], row["step"]) for row in metrics] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert {row["updates"] for row in metrics} == {"4"}  # two minibatches in two epochs
    assert {row["rollouts"] for row in metrics} == {"16"}
    places = [(row["seed"], row["step"], row["problems"], row["final"]) for row in validation]
    expected = [("0", "40", "False"), ("1", "40", "False"), ("2", "80", "True")]
    assert places == [(seed, *place) for seed in "12" for place in expected]
    assert {row["diverged"] for row in validation} == {"False"}
    assert [(row["seed"], row["step"]) for row in generations] == [
        (seed, step) for seed in (1, 2) for step in (0, 1, 2) for _ in range(3)
    ]
    asked = {problem.prompt for problem in read_problems(inputs.validation)}
    assert {row["prompt"] for row in generations} <= asked
    for seed, expected_hash in zip((1, 2), hashes, strict=True):
        policy = load_policy(f"{arm.policies}/seed{seed}", torch.float32, torch.float32)
        assert weight_hash(policy.named_parameters()) == expected_hash
    assert hashes[0] != hashes[1]


def test_the_provenance_counts_what_was_spent(arm):
    provenance = read_json(arm.provenance)
    with open(arm.metrics) as file:
        rows = [row for row in csv.DictReader(file) if row["seed"] == "2"]
    tokens = sum(int(row["tokens"]) for row in rows)
    run = provenance["runs"][1]
    assert {name: run[name] for name in ("seed", "steps", "updates", "rollouts", "diverged", "reason")} == {
        "seed": 2,
        "steps": 2,
        "updates": 8,
        "rollouts": 32,
        "diverged": False,
        "reason": "",
    }
    assert (run["tokens_sampled"], run["tokens_trained"]) == (tokens, 2 * tokens)
    assert run["dtypes"]["master"] == "float32"
    assert run["seconds"] == pytest.approx(sum(float(row["seconds_step"]) for row in rows), rel=0.5)
    assert provenance["arm"] == "default"
    assert provenance["method"] == "grpo"
    assert provenance["settings"]["cliprange"] == 0.2
    assert provenance["code_digest"] == "code"


def test_an_arm_is_the_loop_of_the_precision_study(arm, inputs, tmp_path):
    """One implementation: the same configuration gives the same weights, whatever is validated between."""
    job = _job()
    config = grpo_config(job.settings, GENERATION, OPTIMIZATION)
    problems = [replace(problem, verifier="exact") for problem in read_problems(inputs.examples)]
    write_jsonl(tmp_path / "train.jsonl", map(asdict, problems))
    outputs = ("policy", "snapshots", "metrics", "rollouts", "tensorboard", "provenance", "checkpoints")
    files = TrainingFiles(
        base=inputs.base,
        problems=str(tmp_path / "train.jsonl"),
        **{name: str(tmp_path / name) for name in outputs},
    )
    train_policy(replace(make_job(), seed=2, training=config), files, code="code")
    assert read_json(files.provenance)["weight_hash"] == _outcome(arm)[3][1]
    assert [{"seed": "2", **row} for row in _table(files.metrics)] == _outcome(arm)[0][2:]


@pytest.mark.parametrize("saves", [1, 2])
def test_a_seed_that_is_interrupted_goes_on_where_it_was(inputs, arm, tmp_path, monkeypatch, saves):
    """Killed right behind a checkpoint, of the first seed and of the second."""
    files, left = _files(tmp_path), [saves]
    save = Trainer.save

    def save_and_die(trainer, state):
        save(trainer, state)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train_grpo_arm(_job(), inputs, files, 1, "code")
    assert (tmp_path / "checkpoints" / f"training{saves}" / "step0000001").exists()
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", lambda _, state: steps.append(state.step))
        train_grpo_arm(_job(), inputs, files, 1, "code")
    assert len(steps) == 2 - saves  # only seeds after the interrupted one have their first step before them
    assert _outcome(files) == _outcome(arm)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_arm_that_gets_a_sigterm_goes_on_after_its_step(inputs, arm, tmp_path, monkeypatch, step):
    files = _files(tmp_path)

    def job():
        train_grpo_arm(_job(), inputs, files, 1, "code")

    end_by_sigterm(monkeypatch, grpo_module, "train_step", step, job)
    job()
    assert _outcome(files) == _outcome(arm)


def test_an_arm_that_is_interrupted_between_seeds_keeps_the_finished_one(inputs, arm, tmp_path, monkeypatch):
    files = _files(tmp_path)
    save = arm_module.save_finished

    def save_and_die(*args):
        save(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(arm_module, "save_finished", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train_grpo_arm(_job(), inputs, files, 1, "code")
    trained = []
    with monkeypatch.context() as patch:
        patch.setattr(arm_module, "save_finished", lambda *args: (trained.append(args[1].seed), save(*args)))
        train_grpo_arm(_job(), inputs, files, 1, "code")
    assert trained == [2]
    assert _outcome(files) == _outcome(arm)


def test_a_checkpoint_of_another_validation_is_not_used(inputs, tmp_path, monkeypatch):
    """Its rows would be of other problems, though the weights are the same."""
    files, job = _files(tmp_path), _job(steps=2)
    save = Trainer.save

    def save_and_die(trainer, state):
        save(trainer, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train_grpo_arm(job, inputs, files, 1, "code")
    fewer = replace(job, common=replace(job.common, validation=replace(job.common.validation, rows=8)))
    train_grpo_arm(fewer, inputs, files, 1, "code")
    assert {row["problems"] for row in _table(files.validation)} == {"8", "80"}


@pytest.mark.parametrize(
    ("settings", "steps", "reason"),
    [
        # One update a step: broken weights show in the next validation, or in the next step's samples.
        ({"train_batch_size": 16, "epochs_per_rollout_batch": 1}, 1, "after 1 steps: the model's logits"),
        (
            {"train_batch_size": 16, "epochs_per_rollout_batch": 1, "validate_every_steps": 9},
            1,
            "after 1 steps: the model's logits",
        ),
        # Several: in the second minibatch of the first step.
        ({}, 0, "after 0 steps: step 1: log-probabilities are not finite"),
    ],
)
def test_weights_that_break_are_recorded_and_do_not_stop_the_arm(inputs, tmp_path, settings, steps, reason):
    files = _files(tmp_path)
    train_grpo_arm(_job(learning_rate=1e30, **settings), inputs, files, 1, "code")
    metrics, validation, _, hashes = _outcome(files)
    assert [row["seed"] for row in metrics] == ["1"] * steps + ["2"] * steps
    ends = [row for row in validation if row["final"] == "True"]
    assert [(row["seed"], row["step"], row["diverged"]) for row in ends] == [
        ("1", str(steps), "True"),
        ("2", str(steps), "True"),
    ]
    assert all(row["reason"].startswith(reason) for row in ends)
    assert all(
        row["reason"].endswith("the policy is that of step 0, which was the last validated") for row in ends
    )
    base = load_policy(inputs.base, torch.float32, torch.float32)
    assert set(hashes) == {weight_hash(base.named_parameters())}
    runs = read_json(files.provenance)["runs"]
    assert [(run["diverged"], run["reason"]) for run in runs] == [
        (True, ends[0]["reason"]),
        (True, ends[1]["reason"]),
    ]


def test_a_gradient_that_is_not_finite_ends_a_run_with_its_last_weights(inputs, tmp_path, monkeypatch):
    clip, calls = update.clip_gradients, []

    def nan_at_last(parameters, max_norm):
        calls.append(len(calls))
        return clip(parameters, max_norm) if len(calls) % 6 else float("nan")

    monkeypatch.setattr(update, "clip_gradients", nan_at_last)
    files = _files(tmp_path)
    train_grpo_arm(_job(), inputs, files, 1, "code")
    metrics, validation, _, hashes = _outcome(files)
    assert [(row["seed"], row["step"]) for row in metrics] == [("1", "1"), ("2", "1")]
    ends = [row for row in validation if row["final"] == "True"]
    assert {row["reason"] for row in ends} == {
        "after 1 steps: step 2: the gradient norm is nan; weights before it are kept"
    }
    base = load_policy(inputs.base, torch.float32, torch.float32)
    assert weight_hash(base.named_parameters()) not in hashes


def test_a_collapse_is_recorded(inputs, tmp_path):
    files = _files(tmp_path)
    train_grpo_arm(_job(learning_rate=10.0), inputs, files, 1, "code")
    ends = [row for row in _table(files.validation) if row["final"] == "True"]
    starts = [row for row in _table(files.validation) if row["step"] == "0"]
    assert all(float(row["accuracy"]) > 0 for row in starts)
    assert [(row["step"], row["diverged"]) for row in ends] == [("2", "True")] * 2
    assert all(row["reason"].startswith("final accuracy 0.") for row in ends)


def test_the_settings_become_those_of_the_loop():
    config = grpo_config(SETTINGS, GENERATION, OPTIMIZATION)
    assert (config.prompts_per_step, config.group_size, config.minibatches) == (4, 4, 2)
    assert (config.epochs, config.microbatch_size, config.steps) == (2, 4, 2)
    assert (config.rewards.correct, config.rewards.incorrect) == (1.0, 0.0)
    assert config.advantage == AdvantageConfig("group", True, 1e-6, 32, 16, 0.9)
    assert (config.loss.type, config.loss.clip_low, config.loss.clip_high) == ("grpo_clip", 0.2, 0.2)
    assert (config.loss.aggregation, config.loss.kl_beta) == ("sequence_mean", 0.0)
    assert not config.dynamic_sampling.enabled
    assert not config.overlong.enabled
    assert asdict(config.sampling) == asdict(GENERATION)
    assert (config.optimizer.learning_rate, config.optimizer.warmup_steps) == (1e-4, 0)
    assert config.optimizer.betas == (0.9, 0.95)
    other = replace(SETTINGS, loss_type="no_baseline", length_normalization="masked_normalize")
    config = grpo_config(other, GENERATION, OPTIMIZATION)
    assert (config.advantage.estimator, config.loss.type) == ("none", "no_baseline")
    assert (config.loss.aggregation, config.loss.normalize_constant) == ("constant", 4.0)
    tracked = replace(SETTINGS, advantage="per_prompt_buffer", buffer_size=8, min_count=4, decay=0.5)
    config = grpo_config(tracked, GENERATION, OPTIMIZATION)
    assert config.advantage == AdvantageConfig("per_prompt_buffer", True, 1e-6, 8, 4, 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_size": 5}, "rollout_batch_size is 16, which is no multiple of group_size 5"),
        ({"train_batch_size": 12}, "rollout_batch_size is 16, which is no multiple of train_batch_size 12"),
        ({"group_size": 16}, "train_batch_size is 8, which is no multiple of group_size 16"),
        (
            {"gradient_accumulation_steps": 3},
            "train_batch_size is 8, which is no multiple of gradient_accumulation_steps 3",
        ),
    ],
)
def test_sizes_that_do_not_divide_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        grpo_config(replace(SETTINGS, **settings), GENERATION, OPTIMIZATION)


def test_a_mode_with_one_ratio_a_response_is_refused(inputs, tmp_path):
    job = _job()
    mode = replace(job.common.mode, policy_ratio="sequence")
    with pytest.raises(UserError, match=r"alignment\.mode fp32 .*policy_ratio"):
        train_grpo_arm(
            replace(job, common=replace(job.common, mode=mode)), inputs, _files(tmp_path), 1, "code"
        )
