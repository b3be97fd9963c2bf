"""The estimator of a run: its advantages against plain references, what it tracks, and resumes."""

import csv
import math
from collections import defaultdict
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import TRAINING, make_files, make_job

from rlvr.advantages.groups import group_advantages
from rlvr.config.precision import AdvantageConfig
from rlvr.data.families import family_problems
from rlvr.data.problem import Problem
from rlvr.files import read_json, write_jsonl
from rlvr.training import grpo
from rlvr.training.advantage import Estimator
from rlvr.training.groups import Collected, Group
from rlvr.training.run import train_policy

GROUP = 2
EPS = 1e-6
TRACKED = ("per_prompt_buffer", "per_prompt_ema")


def config(estimator, **changes):
    made = AdvantageConfig(estimator, normalize_by_std=True, eps=EPS, buffer_size=5, min_count=3, decay=0.75)
    return replace(made, **changes)


def collected(*groups):
    """From (problem id, rewards, kept) for each group."""
    made = [Group(Problem(name, "task", "", "", ""), (), (), tuple(rewards)) for name, rewards, _ in groups]
    kept = tuple(group for group, (_, _, keep) in zip(made, groups, strict=True) if keep)
    return Collected(kept, tuple(made), 0, 0, 0.0, 0.0)


def estimate(estimator, *groups):
    return estimator.estimate(collected(*groups), "cpu")


FIRST = ("a", (1.0, 0.0), True), ("b", (0.7, 0.7), False), ("c", (-0.5, 0.25), True)


@pytest.mark.parametrize("by_std", [True, False])
def test_group_is_the_function_of_the_primitives_bit_by_bit(by_std):
    values, tracked = estimate(Estimator(config("group", normalize_by_std=by_std), GROUP), *FIRST)
    rewards = torch.tensor([1.0, 0.0, -0.5, 0.25])
    expected = group_advantages(rewards, GROUP, eps=EPS, normalize_by_std=by_std)
    assert torch.equal(values, expected)
    assert tracked == 0.0


def test_batch_normalises_by_the_rewards_of_the_kept_groups():
    values, tracked = estimate(Estimator(config("batch"), GROUP), *FIRST)
    rewards = np.array([1.0, 0.0, -0.5, 0.25])
    assert values.dtype == torch.float32
    np.testing.assert_allclose(values, (rewards - rewards.mean()) / (rewards.std() + EPS), rtol=1e-6)
    assert tracked == 0.0


def test_none_is_the_rewards_themselves():
    values, tracked = estimate(Estimator(config("none"), GROUP), *FIRST)
    assert values.tolist() == [1.0, 0.0, -0.5, 0.25]
    assert tracked == 0.0


def moments(estimator, rewards):
    """Mean and standard deviation of a prompt whose rewards so far are these, reward by reward."""
    if estimator == "per_prompt_buffer":
        last = rewards[-5:]
        mean = sum(last) / len(last)
        return mean, math.sqrt(sum((reward - mean) ** 2 for reward in last) / len(last))
    mean, variance = rewards[0], 0.0
    for reward in rewards[1:]:
        distance = reward - mean
        mean += 0.25 * distance
        variance = 0.75 * (variance + 0.25 * distance**2)
    return mean, math.sqrt(variance)


def reference(estimator, history, groups):
    """Advantages of the kept groups and the tracked share; `history`: all rewards by prompt, added to."""
    for name, rewards, _ in groups:
        history[name].extend(rewards)
    trained = [(name, reward) for name, rewards, kept in groups if kept for reward in rewards]
    batch = [reward for _, reward in trained]
    known = [len(history[name]) >= 3 for name, _ in trained]
    values = []
    for (name, reward), tracked in zip(trained, known, strict=True):
        mean, std = moments(estimator, history[name]) if tracked else (np.mean(batch), np.std(batch))
        values.append((reward - mean) / (std + EPS))
    return values, sum(known) / len(known) if known else math.nan


# Quarters, whose sums and squares are exact: a deviation is 0 in both or in neither.
REWARDS = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=GROUP, max_size=GROUP)
STEP = st.lists(st.tuples(st.sampled_from("abc"), REWARDS, st.booleans()), min_size=1, max_size=5)


@pytest.mark.parametrize("name", TRACKED)
@settings(max_examples=100, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=6))
def test_tracked_advantages_are_those_of_a_plain_reference(name, steps):
    estimator, history = Estimator(config(name), GROUP), defaultdict(list)
    for groups in steps:
        values, tracked = estimate(estimator, *groups)
        expected, share = reference(name, history, groups)
        assert values.dtype == torch.float32
        assert values.shape == (len(expected),)
        # fp32, over a deviation whose square the two reach by different sums (1e-16, so 1e-8 in the root)
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-5)
        assert tracked == pytest.approx(share, nan_ok=True)


@pytest.mark.parametrize("name", TRACKED)
def test_dropped_groups_are_in_the_statistics_even_if_no_group_is_kept(name):
    estimator = Estimator(config(name), GROUP)
    values, tracked = estimate(estimator, ("a", (1.0, 1.0), False), ("b", (0.0, 0.0), False))
    assert values.shape == (0,)
    assert math.isnan(tracked)
    values, tracked = estimate(estimator, ("a", (1.0, 0.0), True), ("c", (1.0, 0.0), True))
    mean, std = moments(name, [1.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(values[:2], [(1 - mean) / (std + EPS), -mean / (std + EPS)], rtol=1e-6)
    np.testing.assert_allclose(values[2:], [1 / (1 + 2 * EPS), -1 / (1 + 2 * EPS)], rtol=1e-6)
    assert tracked == 0.5


@pytest.mark.parametrize("name", TRACKED)
def test_the_state_goes_through_a_checkpoint(name, tmp_path):
    first, second = Estimator(config(name), GROUP), Estimator(config(name), GROUP)
    estimate(first, *FIRST)
    estimate(first, *FIRST)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(estimate(first, *FIRST)[0], estimate(second, *FIRST)[0])
    with pytest.raises(ValueError, match="the state is of a tracker with"):
        Estimator(config(name, min_count=4), GROUP).load_state_dict(first.state_dict())


@pytest.mark.parametrize("name", ["group", "batch", "none"])
def test_estimators_that_track_nothing_have_an_empty_state(name):
    estimator = Estimator(config(name), GROUP)
    estimate(estimator, *FIRST)
    assert estimator.state_dict() == {}


@pytest.fixture(scope="module")
def few_problems(tmp_path_factory):
    """Problems for one step, so that each comes again in the next."""
    path = tmp_path_factory.mktemp("few") / "train.jsonl"
    write_jsonl(path, map(asdict, family_problems("max", "train")[: TRAINING["prompts_per_step"]]))
    return str(path)


def train(base, problems, out, name):
    """Weight hash and metrics of a run of six steps with groups of four."""
    advantage = asdict(config(name, buffer_size=16, min_count=16))
    files = replace(make_files(base, out), problems=problems)
    train_policy(make_job(advantage=advantage, snapshot_steps=[]), files)
    with open(out / "metrics.csv") as file:
        return read_json(out / "provenance.json")["weight_hash"], list(csv.DictReader(file))


def interrupt(base, problems, out, name, monkeypatch):
    """The same, broken off in step 5, after the checkpoint of step 4."""

    def stop_at_step_5(_, state):
        if state.step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rlvr.training.run.Run.snapshot", stop_at_step_5)
        with pytest.raises(KeyboardInterrupt):
            train(base, problems, out, name)
    assert (out / "checkpoints" / "step0000004").exists()


@pytest.fixture(scope="module")
def undisturbed(small_base, few_problems, tmp_path_factory):
    return {
        name: train(small_base, few_problems, tmp_path_factory.mktemp(name), name)
        for name in ("group", "batch", *TRACKED)
    }


def test_estimators_train_different_policies_and_tell_what_they_tracked(undisturbed):
    assert len({weight_hash for weight_hash, _ in undisturbed.values()}) == 4
    shares = {
        name: [float(row["advantage_tracked"]) for row in rows] for name, (_, rows) in undisturbed.items()
    }
    assert shares["group"] == shares["batch"] == [0.0] * 6
    for name in TRACKED:  # at least four rewards of each prompt a step, more of those that are drawn again
        assert shares[name][0] < 1
        assert shares[name][3:] == [1.0] * 3


@pytest.mark.parametrize("name", TRACKED)
def test_an_interrupted_and_resumed_run_has_the_same_weights(
    name, small_base, few_problems, undisturbed, tmp_path, monkeypatch
):
    interrupt(small_base, few_problems, tmp_path, name, monkeypatch)
    assert train(small_base, few_problems, tmp_path, name)[0] == undisturbed[name][0]


@pytest.mark.parametrize("name", TRACKED)
def test_a_resume_without_its_statistics_would_have_other_weights(
    name, small_base, few_problems, undisturbed, tmp_path, monkeypatch
):
    interrupt(small_base, few_problems, tmp_path, name, monkeypatch)
    monkeypatch.setattr(Estimator, "load_state_dict", lambda self, state: None)
    assert train(small_base, few_problems, tmp_path, name)[0] != undisturbed[name][0]


def test_advantages_enter_the_batch_as_a_column_of_float32(small_base, few_problems, tmp_path, monkeypatch):
    batches = []
    update = grpo._update

    def recorded(updater, batch, step):
        batches.append(batch)
        return update(updater, batch, step)

    monkeypatch.setattr(grpo, "_update", recorded)
    train(small_base, few_problems, tmp_path, "per_prompt_ema")
    for batch in batches:
        assert batch.advantages.dtype == torch.float32
        assert batch.advantages.shape == batch.rewards.shape == (len(batch.labels), 1)
        assert batch.advantages.abs().max() > 0
