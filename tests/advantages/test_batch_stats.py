"""BatchStats, and the other trackers below their least count."""

import numpy as np
import pytest
from hypothesis import given, settings
from reference_trackers import advantage, batches, columns, epsilons, moments

from rlvr.advantages import BatchStats, EmaPromptStatTracker, PerPromptStatTracker

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


@settings(deadline=None)
@given(batches, epsilons)
def test_agrees_with_exact_fractions(batch, eps):
    prompts, rewards = columns(batch)
    mean, variance = moments(rewards)
    tracker = BatchStats(eps)
    expected = [advantage(reward, mean, variance, eps) for reward in rewards]
    np.testing.assert_allclose(tracker.update(prompts, rewards), expected, **CLOSE)
    (row,) = tracker.stats()
    assert row["prompt"] is None
    assert row["count"] == len(batch)
    assert row["mean"] == pytest.approx(float(mean), abs=1e-12)
    assert row["std"] ** 2 == pytest.approx(float(variance), abs=1e-9)


@settings(deadline=None)
@given(batches)
def test_prompts_and_earlier_batches_do_not_matter(batch):
    prompts, rewards = columns(batch)
    fresh = BatchStats().update(prompts, rewards)
    used = BatchStats()
    used.update(["other"] * 3, [5.0, -7.0, 1e6])
    np.testing.assert_array_equal(used.update(["one"] * len(rewards), rewards), fresh)


@settings(deadline=None)
@given(batches)
def test_the_others_are_the_same_below_their_least_count(batch):
    prompts, rewards = columns(batch)
    expected = BatchStats().update(prompts, rewards)
    for tracker in (PerPromptStatTracker(32, 32), EmaPromptStatTracker(0.9, 32)):
        np.testing.assert_array_equal(tracker.update(prompts, rewards), expected)


def test_the_deviation_is_that_of_the_population():
    np.testing.assert_array_equal(BatchStats(eps=0.0).update(["a", "b"], [1.0, 3.0]), [-1.0, 1.0])
    np.testing.assert_array_equal(BatchStats(eps=1.0).update(["a", "b"], [1.0, 3.0]), [-0.5, 0.5])


def test_only_the_last_batch_is_in_the_rows():
    tracker = BatchStats()
    assert tracker.stats() == []
    tracker.update(["a", "b", "c"], [1.0, 2.0, 6.0])
    tracker.update(["a", "b"], [1.0, 5.0])
    assert tracker.stats() == [{"prompt": None, "mean": 3.0, "std": 2.0, "count": 2}]
