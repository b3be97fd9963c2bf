"""SFT arms: outputs, data, exact resume, divergence."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from orphaned import orphaned
from sent_sigterm import end_by_sigterm
from tiny_arm import (
    die_after_checkpoint,
    examples,
    lines,
    make_common,
    make_files,
    make_inputs,
    table,
    without_times,
)

from rlvr.alignment import supervised_arm
from rlvr.alignment.job import SftJob
from rlvr.alignment.sft import choose_examples, train_sft_arm
from rlvr.alignment.supervised import SeedRun
from rlvr.config.alignment import PromptConfig, SftSettings
from rlvr.errors import UserError
from rlvr.files import read_json
from rlvr.models.loading import load_policy
from rlvr.models.tokenizers import character_tokenizer
from rlvr.models.weights import read_weights, weight_hash


def settings(**replaced):
    values = {
        "steps": 6,
        "batch_size": 8,
        "gradient_accumulation_steps": 2,
        "learning_rate": 3e-3,
        "size": None,
        "filtered": False,
        "validate_every_steps": 2,
    }
    return SftSettings(**values | replaced)


def train(base, folder, mode="fp32", rows=60, common=None, **replaced):
    job = SftJob("arm", settings(**replaced), make_common(mode, **(common or {})))
    inputs, files = make_inputs(base, folder, examples(rows)), make_files(folder)
    train_sft_arm(job, inputs, files, 1, "code")
    return files


def hashes(files):
    return [run["weight_hash"] for run in read_json(files.provenance)["runs"]]


@pytest.fixture(scope="module")
def arm(small_base, tmp_path_factory):
    return train(small_base, tmp_path_factory.mktemp("sft"))


def test_the_outputs_hold_every_seed(small_base, arm):
    metrics, validation = table(arm.metrics), table(arm.validation)
    assert [(row["seed"], row["step"]) for row in metrics] == [(s, str(n)) for s in "12" for n in range(1, 7)]
    assert set(metrics[0]) == {"seed", "step", "loss", "learning_rate", "grad_norm", "seconds"}
    assert {row["learning_rate"] for row in metrics} == {"0.003"}
    places = [(row["seed"], row["step"], row["problems"], row["final"]) for row in validation]
    one = [("0", "24", "False"), ("2", "24", "False"), ("4", "24", "False"), ("6", "40", "True")]
    assert places == [(seed, *rest) for seed in "12" for rest in one]
    assert len(lines(arm.generations)) == 2 * 4 * 5
    provenance = read_json(arm.provenance)
    assert (provenance["method"], provenance["arm"]) == ("sft", "arm")
    for run in provenance["runs"]:
        policy = load_policy(Path(arm.policies) / f"seed{run['seed']}", torch.float32, torch.float32)
        assert weight_hash(policy.named_parameters()) == run["weight_hash"]
        assert (run["updates"], run["rollouts"], run["tokens_sampled"], run["steps"]) == (6, 0, 0, 6)
        assert run["tokens_trained"] == 6 * 8 * 3  # two digits and EOS
        assert run["examples"]["used"] == run["examples"]["read"] == 60
        assert not run["diverged"]
    assert len(set(hashes(arm))) == 2
    assert weight_hash(read_weights(small_base / "policy")) not in hashes(arm)
    assert not Path(arm.checkpoints).exists()


def test_the_same_job_gives_the_same_weights(small_base, arm, tmp_path):
    again = train(small_base, tmp_path)
    assert hashes(again) == hashes(arm)
    assert without_times(again.validation) == without_times(arm.validation)


def test_training_on_right_answers_raises_the_accuracy(small_base, tmp_path):
    files = train(small_base, tmp_path, rows=400, steps=120, filtered=True, common={"seeds": 1})
    rows = table(files.validation)
    assert float(rows[-1]["accuracy"]) > float(rows[0]["accuracy"]) + 0.15
    assert float(rows[-1]["seconds"]) > 0 == float(rows[0]["seconds"])


@pytest.mark.parametrize("die_at", [(1, 2), (1, 4), (2, 2)])
def test_an_interrupted_arm_resumes_exactly(small_base, arm, tmp_path, monkeypatch, die_at):
    die_after_checkpoint(monkeypatch, supervised_arm, *die_at, lambda: train(small_base, tmp_path))
    updates = []
    update = SeedRun.update
    monkeypatch.setattr(SeedRun, "update", lambda run, *batch: updates.append(1) or update(run, *batch))
    files = train(small_base, tmp_path)
    assert len(updates) == 6 * (3 - die_at[0]) - die_at[1]  # nothing is done twice
    assert hashes(files) == hashes(arm)
    assert without_times(files.metrics) == without_times(arm.metrics)
    assert without_times(files.validation) == without_times(arm.validation)
    assert lines(files.generations) == lines(arm.generations)


@pytest.mark.parametrize("step", [1, 4, 6, 9])
def test_an_arm_that_gets_a_sigterm_resumes_exactly(small_base, arm, tmp_path, monkeypatch, step):
    """Also after a step without validation, after the last one, and in the second seed."""
    end_by_sigterm(monkeypatch, SeedRun, "update", step, lambda: train(small_base, tmp_path))
    files = train(small_base, tmp_path)
    assert hashes(files) == hashes(arm)
    assert without_times(files.validation) == without_times(arm.validation)
    assert without_times(files.metrics) == without_times(arm.metrics)
    dtypes = [[run["dtypes"] for run in read_json(one.provenance)["runs"]] for one in (files, arm)]
    assert dtypes[0] == dtypes[1]


def test_what_an_orphan_has_trained_of_an_arm_is_only_written_again(small_base, arm, tmp_path, monkeypatch):
    with orphaned(monkeypatch):
        train(small_base, tmp_path)
    monkeypatch.setattr(supervised_arm, "_train", None)
    files = train(small_base, tmp_path)
    assert hashes(files) == hashes(arm)
    assert not Path(files.checkpoints).exists()


def test_weights_of_a_validation_before_a_sigterm_can_be_returned_to(small_base, tmp_path, monkeypatch):
    update = SeedRun.update

    def spoil(run, prompts, responses):
        if run.state.step == 3:
            with torch.no_grad():
                run.model.model.norm.weight.fill_(torch.inf)
        return update(run, prompts, responses)

    monkeypatch.setattr(SeedRun, "update", spoil)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    end_by_sigterm(monkeypatch, SeedRun, "update", 3, lambda: train(small_base, cut))
    kept, expected = (train(small_base, folder) for folder in (cut, whole))
    assert "the policy is that of step 2" in read_json(kept.provenance)["runs"][0]["reason"]
    assert hashes(kept) == hashes(expected)


@pytest.mark.parametrize("mode", ["bf16", "bf16_mixed", "bf16_sr", "bf16_kahan"])
def test_modes_have_their_dtypes(small_base, tmp_path, mode):
    files = train(small_base, tmp_path, mode=mode, steps=2, common={"seeds": 1})
    run = read_json(files.provenance)["runs"][0]
    expected = {"bf16_mixed": "float32"}.get(mode, "bfloat16")
    assert {run["dtypes"][factor] for factor in ("master", "optimizer_state", "reduce")} == {expected}
    assert {run["dtypes"][factor] for factor in ("compute", "rollout")} == {"bfloat16"}


def test_dropout_changes_the_training_and_repeats(small_base, tmp_path):
    losses = []
    for number, rate in enumerate([0.0, 0.3, 0.3]):
        common = {"seeds": 1, "dropout": rate}
        losses.append(
            without_times(train(small_base, tmp_path / str(number), steps=2, common=common).metrics)
        )
    assert losses[0] != losses[1] == losses[2]


def test_a_mode_that_scales_the_loss_is_refused(small_base, tmp_path):
    with pytest.raises(UserError, match="fp16_mixed has compute float16"):
        train(small_base, tmp_path, mode="fp16_mixed")


def test_a_broken_gradient_ends_the_seed_and_is_recorded(small_base, tmp_path, monkeypatch):
    update = SeedRun.update

    def break_seed_1(run, prompts, responses):
        if (run.seed, run.state.step) == (1, 2):
            run.model.model.norm.weight.register_hook(lambda gradient: gradient * torch.nan)
        return update(run, prompts, responses)

    monkeypatch.setattr(SeedRun, "update", break_seed_1)
    files = train(small_base, tmp_path)
    first, second = read_json(files.provenance)["runs"]
    assert (first["diverged"], first["steps"], first["updates"]) == (True, 2, 2)
    assert first["reason"] == "after 2 steps: the gradient norm is nan; the weights before it are kept"
    assert (second["diverged"], second["reason"], second["updates"]) == (False, "", 6)
    rows = [row for row in table(files.validation) if row["seed"] == "1"]
    assert [(row["step"], row["final"], row["diverged"]) for row in rows] == [
        ("0", "False", "False"),
        ("2", "False", "False"),
        ("2", "True", "True"),
    ]
    assert float(rows[-1]["accuracy"]) > 0
    broken = [row for row in table(files.metrics) if row["seed"] == "1"][-1]
    assert (broken["step"], broken["loss"], broken["grad_norm"]) == ("3", "", "")
    policy = dict(read_weights(Path(files.policies) / "seed1"))
    assert all(weight.isfinite().all() for weight in policy.values())


def test_weights_that_cannot_be_sampled_from_are_replaced_by_the_last_validated(
    small_base, tmp_path, monkeypatch
):
    update = SeedRun.update

    def spoil(run, prompts, responses):
        measured = update(run, prompts, responses)
        if run.state.step == 3:
            with torch.no_grad():
                run.model.model.norm.weight.fill_(torch.inf)
        return measured

    monkeypatch.setattr(SeedRun, "update", spoil)
    files = train(small_base, tmp_path, common={"seeds": 1})
    row = table(files.validation)[-1]
    assert (row["step"], row["diverged"]) == ("4", "True")
    assert "the policy is that of step 2, which was the last validated" in row["reason"]
    policy = dict(read_weights(Path(files.policies) / "seed1"))
    assert all(weight.isfinite().all() for weight in policy.values())


def chosen(rows, **replaced):
    run = SimpleNamespace(
        engine=SimpleNamespace(max_positions=24),
        setup=SimpleNamespace(
            tokenizer=character_tokenizer(), common=SimpleNamespace(prompt=PromptConfig("plain", "exact"))
        ),
    )
    kept, counts = choose_examples(rows, settings(**replaced), run, "sft.jsonl")
    return [(tuple(prompt), tuple(response)) for prompt, response in kept], counts


def test_smaller_sets_are_subsets_and_filtered_sets_are_correct():
    rows, tokenizer = examples(60), character_tokenizer()
    sets = [set(chosen(rows, size=size)[0]) for size in (5, 20, None)]
    assert [len(one) for one in sets] == [5, 20, 60]
    assert sets[0] < sets[1] < sets[2]
    right, counts = chosen(rows, filtered=True)
    assert counts["wrong_left_out"] == 20
    assert counts["used"] == counts["used_correct"] == 40
    truths = {row["prompt"]: row["ground_truth"] for row in rows}
    for prompt, response in right:
        assert response[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(response[:-1]) == truths[tokenizer.decode(prompt)]


def test_examples_that_do_not_fit_are_left_out():
    rows = examples(10)
    rows[3] |= {"response": "1" * 30}
    kept, counts = chosen(rows)
    assert (len(kept), counts["too_long_left_out"], counts["available"]) == (9, 1, 9)


def test_more_examples_than_there_are_is_an_error_with_the_numbers():
    with pytest.raises(UserError, match=r"size is 41, but of the 60 examples in sft\.jsonl 40 can be used"):
        chosen(examples(60), size=41, filtered=True)
