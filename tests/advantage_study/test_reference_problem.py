import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_problem import slow_epoch

from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.problem import (
    REFERENCE_PROBLEM,
    apply_updates,
    draw_prompts,
    hash_fraction,
    run_problem,
    stable_hash,
)
from rlvr.advantages.batch_stats import BatchStats

BUFFER = Method("buffer", buffer_size=32, min_count=16, decay=0.9, eps=1e-7)
BATCH = replace(BUFFER, tracker="batch")
EMA = replace(BUFFER, tracker="ema")
# Fewer slots than prompts, so that prompts share one.
SMALL = replace(REFERENCE_PROBLEM, prompts=6, draws=20, epochs=8, slots=5)
SMALL_BUFFER = replace(BUFFER, buffer_size=9, min_count=4)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(
    "method",
    [SMALL_BUFFER, replace(SMALL_BUFFER, statistics="before"), BATCH],
    ids=["buffer", "before", "batch"],
)
def test_epochs_agree_with_a_slow_reference(method, accumulate):
    method = replace(method, accumulate=accumulate)
    streams = [np.random.default_rng(stream) for stream in np.random.SeedSequence(3).spawn(4)]
    prompts = draw_prompts(SMALL, streams[0])
    table = {
        "label": [stable_hash("label", name) % SMALL.labels for name in prompts.names],
        "slot": [stable_hash("slot", name) % SMALL.slots for name in prompts.names],
        "scale": [SMALL.largest_scale * hash_fraction("scale", name) for name in prompts.names],
    }
    assert len(set(table["slot"])) < SMALL.prompts
    parameters, buffers, expected = streams[1].uniform(0, SMALL.labels, SMALL.slots).tolist(), {}, []
    for _ in range(SMALL.epochs):
        drawn = streams[2].integers(SMALL.prompts, size=SMALL.draws).tolist()
        noise = streams[3].standard_normal(SMALL.draws).tolist()
        parameters, reward = slow_epoch(parameters, table, drawn, noise, method, buffers)
        expected.append(reward)
    run = run_problem(SMALL, method, seed=3)
    # float64 sums in another order, 8 epochs on: far below 1e-9 of rewards of the order of 100
    np.testing.assert_allclose(run.rewards, expected, rtol=1e-9)


def test_the_last_update_of_a_slot_wins_and_all_start_from_the_old_value():
    slots, steps = np.array([1, 0, 1, 1]), np.array([1.0, 2.0, 4.0, 8.0])
    last, summed = np.array([10.0, 20.0, 30.0]), np.array([10.0, 20.0, 30.0])
    apply_updates(last, slots, steps, accumulate=False)
    apply_updates(summed, slots, steps, accumulate=True)
    assert last.tolist() == [12.0, 28.0, 30.0] and summed.tolist() == [12.0, 33.0, 30.0]


@given(st.lists(st.tuples(st.integers(0, 7), st.floats(-10, 10)), min_size=1, max_size=300))
def test_updates_agree_with_a_loop(drawn):
    slots, steps = np.array([slot for slot, _ in drawn]), np.array([step for _, step in drawn])
    last, expected = np.arange(8.0), np.arange(8.0)
    apply_updates(last, slots, steps, accumulate=False)
    for slot, step in drawn:
        expected[slot] = slot + step
    assert last.tolist() == expected.tolist()


def test_methods_meet_the_same_problem_and_draws():
    runs = [run_problem(SMALL, method, 7) for method in (BUFFER, EMA, replace(BUFFER, statistics="before"))]
    batch = run_problem(SMALL, BATCH, 7)
    assert len({tuple(run.history.prompts) for run in runs}) == 1
    # the first epoch's rewards come before any update
    assert {run.rewards[0] for run in runs} == {batch.rewards[0]}
    # all rewards that a prompt has had: the same draws in every epoch, whatever the method
    full = [run_problem(SMALL, replace(method, buffer_size=1000), 7) for method in (BUFFER, EMA)]
    np.testing.assert_array_equal(full[0].history.count, full[1].history.count)
    assert run_problem(SMALL, BATCH, 8).rewards[0] != batch.rewards[0]


def test_the_first_epochs_do_not_depend_on_the_number_of_epochs():
    short, long = (run_problem(replace(SMALL, epochs=epochs), BUFFER, 1) for epochs in (3, 8))
    np.testing.assert_array_equal(short.rewards, long.rewards[:3])


def test_prompts_lie_in_the_documented_ranges():
    prompts = draw_prompts(replace(REFERENCE_PROBLEM, prompts=4000), np.random.default_rng(0))
    assert len(set(prompts.names)) == 4000
    assert set(prompts.labels) == set(range(256))
    assert prompts.slots.min() >= 0 and prompts.slots.max() == 1023 and prompts.slots.dtype.kind == "i"
    assert 0 <= prompts.scales.min() < 0.01 and 3.99 < prompts.scales.max() < 4
    # mean of U(0, 4) over 4000: standard error 0.018
    assert abs(prompts.scales.mean() - 2) < 0.1
    # label, slot and scale come from hashes of their own: correlations have a standard error of 0.016
    correlations = np.corrcoef([prompts.labels, prompts.slots, prompts.scales])[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.08


def test_labels_do_not_depend_on_the_hash_seed_of_python():
    code = (
        "import json, numpy\nfrom rlvr.advantage_study.problem import *\n"
        "prompts = draw_prompts(REFERENCE_PROBLEM, numpy.random.default_rng(5))\n"
        "arrays = [prompts.labels, prompts.slots, prompts.scales]\n"
        "print(json.dumps([prompts.names, *(array.tolist() for array in arrays)]))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    _, labels, _, _ = json.loads(outputs[0])
    assert len(labels) == 64 and all(label in range(256) for label in labels)


def test_the_hash_is_sha256_of_purpose_and_name():
    # printf label:abc | sha256sum
    assert stable_hash("label", "abc") == 0x85456611E6E2FE79
    assert stable_hash("slot", "abc") != stable_hash("label", "abc")


def test_the_score_is_the_mean_of_the_last_epochs():
    run = run_problem(replace(SMALL, epochs=25), BUFFER, 1)
    assert run.score == pytest.approx(sum(run.rewards.tolist()[15:]) / 10, rel=1e-12)
    short = run_problem(replace(SMALL, epochs=4), BUFFER, 1)
    assert short.score == pytest.approx(sum(short.rewards.tolist()) / 4, rel=1e-12)


def test_the_history_is_what_the_tracker_knew():
    history = run_problem(replace(SMALL, prompts=40, draws=10), BUFFER, 2).history
    assert history.mean.shape == history.std.shape == history.count.shape == (8, 40)
    assert len(set(history.prompts)) == 40
    seen = history.count > 0
    assert (
        not seen[0].all()
        and (np.isnan(history.mean) == ~seen).all()
        and (np.isnan(history.std) == ~seen).all()
    )
    # each epoch brings 10 rewards, and no buffer of 32 is full after 8 of them
    assert history.count.sum(axis=1).tolist() == list(range(10, 81, 10))
    # first drawn first: the columns of one epoch come after all of those before
    first_seen = np.where(seen.any(axis=0), seen.argmax(axis=0), 8)
    assert (np.diff(first_seen) >= 0).all()


def test_the_history_of_the_batch_tracker_is_one_column(monkeypatch):
    batches, update = [], BatchStats.update
    monkeypatch.setattr(
        BatchStats,
        "update",
        lambda self, names, rewards: batches.append(rewards) or update(self, names, rewards),
    )
    run = run_problem(SMALL, BATCH, 2)
    assert run.history.prompts == [""] and run.history.count.tolist() == [[20]] * 8
    np.testing.assert_allclose(run.history.mean[:, 0], run.rewards, rtol=1e-6)
    np.testing.assert_allclose(run.history.std[:, 0], [np.std(rewards) for rewards in batches], rtol=1e-6)


def test_epochs_are_counted_for_a_progress_bar():
    seen = []
    run_problem(SMALL, BUFFER, 1, seen.append)
    assert seen == list(range(1, 9))


def test_known_outcomes():
    """Three seeds of the whole problem; over 20 the batch scores about −50 (sd 12), the buffer −8 (sd 3)."""
    scores = {
        name: np.array([run_problem(REFERENCE_PROBLEM, method, seed).score for seed in (1, 2, 3)])
        for name, method in {"batch": BATCH, "buffer": BUFFER, "ema": EMA}.items()
    }
    assert (scores["buffer"] > scores["batch"]).all() and (scores["ema"] > scores["batch"]).all()
    # three standard errors of three seeds around the known means
    assert -72 < scores["batch"].mean() < -28
    assert -13 < scores["buffer"].mean() < -3
    assert -12 < scores["ema"].mean() < -2
