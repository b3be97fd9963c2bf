"""PerPromptStatTracker against a dictionary of lists in exact fractions, and worked examples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_trackers import (
    ReferenceBuffer,
    assert_same_stats,
    assert_same_tracked,
    batches,
    columns,
    epsilons,
    streams,
)

from rlvr.advantages import BatchStats, PerPromptStatTracker

# Of (r − mean) / (std + eps): rewards to 10 are rounded to 2e-15, and std + eps is at least 0.03 unless all
# rewards of a buffer are equal, where numerator and result are exact zeros, or the sample was pushed out of
# a buffer of equal rewards, where the quotient is exact to its relative rounding.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


@settings(deadline=None)
@given(streams, st.integers(1, 6), st.data(), epsilons)
def test_agrees_with_lists_in_a_dictionary(stream, buffer_size, data, eps):
    min_count = data.draw(st.integers(1, buffer_size))
    tracker = PerPromptStatTracker(buffer_size, min_count, eps)
    reference = ReferenceBuffer(buffer_size, min_count, eps)
    for batch in stream:
        np.testing.assert_allclose(tracker.update(*columns(batch)), reference.update(batch), **CLOSE)
        assert_same_stats(tracker, reference)
        assert_same_tracked(tracker, reference, min_count)


def test_the_oldest_reward_leaves_a_full_buffer():
    tracker = PerPromptStatTracker(buffer_size=3, min_count=1)
    for reward, kept in ((1.0, [1]), (2.0, [1, 2]), (4.0, [1, 2, 4]), (8.0, [2, 4, 8]), (16.0, [4, 8, 16])):
        (own,) = tracker.update(["a"], [reward])
        mean, std = np.mean(kept), np.std(kept)
        assert own == pytest.approx((reward - mean) / (std + 1e-7), rel=1e-12)
        (row,) = tracker.stats()
        assert row == {
            "prompt": "a",
            "mean": pytest.approx(mean, rel=1e-15),
            "std": pytest.approx(std, rel=1e-12),
            "count": len(kept),
        }


def test_one_batch_can_replace_a_whole_buffer():
    """Five rewards for two places: the last two stay, and all five are measured by them."""
    tracker = PerPromptStatTracker(buffer_size=2, min_count=2, eps=0.0)
    tracker.update(["a", "b"], [100.0, 5.0])
    advantages = tracker.update(["a", "a", "b", "a", "a", "a"], [9.0, 7.0, 1.0, 8.0, 2.0, 4.0])
    np.testing.assert_allclose(advantages, [6.0, 4.0, -1.0, 5.0, -1.0, 1.0], rtol=1e-14)
    assert [(row["mean"], row["std"], row["count"]) for row in tracker.stats()] == [(3, 1, 2), (3, 2, 2)]


def test_own_statistics_from_min_count_on():
    tracker = PerPromptStatTracker(buffer_size=4, min_count=3, eps=0.0)
    prompts, batch = ["a", "b"], BatchStats(eps=0.0)
    for rewards in ([0.0, 100.0], [2.0, 90.0]):  # one reward, then two: the batch's
        np.testing.assert_array_equal(tracker.update(prompts, rewards), batch.update(prompts, rewards))
    # Three: own, with the new reward in it. a: 0, 2, 4; b: 100, 90, 80.
    expected = math.sqrt(3 / 2)
    np.testing.assert_allclose(tracker.update(prompts, [4.0, 80.0]), [expected, -expected], rtol=1e-14)


def test_known_and_new_prompts_in_one_batch():
    tracker = PerPromptStatTracker(buffer_size=4, min_count=3, eps=0.0)
    tracker.update(["old", "old"], [1.0, 3.0])
    rewards = [10.0, 5.0, 20.0]
    advantages = tracker.update(["new", "old", "new"], rewards)
    by_batch = (np.array(rewards) - np.mean(rewards)) / np.std(rewards)
    assert advantages[0] == pytest.approx(by_batch[0], rel=1e-14)
    assert advantages[2] == pytest.approx(by_batch[2], rel=1e-14)
    assert advantages[1] == pytest.approx(2 / math.sqrt(8 / 3), rel=1e-14)  # of 1, 3, 5


@settings(deadline=None)
@given(st.lists(batches, max_size=3), batches, st.randoms(use_true_random=False))
def test_permuting_a_batch_permutes_its_advantages(before, batch, random):
    """In buffers with room for all: where rewards are pushed out, which ones depends on the order."""
    order = list(range(len(batch)))
    random.shuffle(order)
    one, other = (PerPromptStatTracker(buffer_size=60, min_count=3) for _ in range(2))
    for earlier in before:
        one.update(*columns(earlier))
        other.update(*columns(earlier))
    permuted = other.update(*columns([batch[index] for index in order]))
    np.testing.assert_allclose(permuted, one.update(*columns(batch))[order], **CLOSE)


@settings(deadline=None)
@given(streams)
def test_buffers_do_not_depend_on_how_a_stream_is_cut_into_batches(stream):
    """To the bit: the buffers hold the same rewards in the same places."""
    cut, whole = (PerPromptStatTracker(buffer_size=3, min_count=1) for _ in range(2))
    for batch in stream:
        cut.update(*columns(batch))
    whole.update(*columns([pair for batch in stream for pair in batch]))
    assert cut.state_dict() == whole.state_dict()
    assert cut.stats() == whole.stats()


def test_many_prompts_grow_the_table():
    """Rows that were added later are as good as the first."""
    tracker, generator = PerPromptStatTracker(buffer_size=2, min_count=2), np.random.default_rng(0)
    rewards = generator.normal(size=(2, 1000))
    for first in range(0, 1000, 137):
        chosen = slice(first, first + 137)
        for row in rewards:
            tracker.update(np.arange(1000)[chosen], row[chosen])
    stats = tracker.stats()
    assert [row["prompt"] for row in stats] == list(range(1000))
    np.testing.assert_allclose([row["mean"] for row in stats], rewards.mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose([row["std"] for row in stats], rewards.std(axis=0), rtol=1e-12)
