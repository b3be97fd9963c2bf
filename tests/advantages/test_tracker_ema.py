"""EmaPromptStatTracker against Finch's recurrence in exact fractions, reward by reward."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_trackers import (
    ReferenceEma,
    assert_same_stats,
    assert_same_tracked,
    batches,
    columns,
    epsilons,
    streams,
)

from rlvr.advantages import BatchStats, EmaPromptStatTracker

decays = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99]) | st.floats(0.0, 0.999)
# The mean is rounded to some 1e-15, and std + eps is at least 1e-7: a decay near 0 leaves no spread.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@settings(deadline=None)
@given(streams, decays, st.integers(1, 8), epsilons)
def test_agrees_with_the_recurrence(stream, decay, min_count, eps):
    tracker = EmaPromptStatTracker(decay, min_count, eps)
    reference = ReferenceEma(decay, min_count, eps)
    for batch in stream:
        np.testing.assert_allclose(tracker.update(*columns(batch)), reference.update(batch), **CLOSE)
        assert_same_stats(tracker, reference)
        assert_same_tracked(tracker, reference, min_count)


def test_a_worked_example():
    """Decay 1/2, rewards 4, 8, 2: means 4, 6, 4; variances 0, 4 = (0 + 16 / 2) / 2, 6 = (4 + 16 / 2) / 2."""
    tracker = EmaPromptStatTracker(decay=0.5, min_count=1, eps=0.0)
    expected = [(4, 0, 0), (6, 4, 1), (4, 6, -2 / math.sqrt(6))]
    for count, (reward, (mean, variance, own)) in enumerate(zip([4.0, 8.0, 2.0], expected, strict=True), 1):
        assert tracker.update(["a"], [reward])[0] == pytest.approx(own, rel=1e-14)
        (row,) = tracker.stats()
        assert row == {"prompt": "a", "mean": mean, "std": math.sqrt(variance), "count": count}


def test_repeats_are_stepped_in_input_order():
    """The same three rewards in one batch end in the same state, and in another one in another order."""
    one, other = (EmaPromptStatTracker(decay=0.5, min_count=1) for _ in range(2))
    one.update(["a", "b", "a", "a"], [4.0, 1.0, 8.0, 2.0])
    other.update(["a", "b", "a", "a"], [2.0, 1.0, 8.0, 4.0])
    row = one.stats()[0]
    assert (row["mean"], row["std"]) == (pytest.approx(4.0), pytest.approx(math.sqrt(6)))
    assert other.stats()[0]["mean"] == pytest.approx(4.5)  # 2, then 5, then 4.5


def test_own_statistics_from_min_count_on():
    tracker, batch = EmaPromptStatTracker(decay=0.5, min_count=3, eps=0.0), BatchStats(eps=0.0)
    prompts = ["a", "b"]
    for rewards in ([4.0, 100.0], [8.0, 90.0]):
        np.testing.assert_array_equal(tracker.update(prompts, rewards), batch.update(prompts, rewards))
    assert tracker.update(prompts, [2.0, 80.0])[0] == pytest.approx(-2 / math.sqrt(6), rel=1e-14)


@settings(deadline=None)
@given(st.lists(batches, max_size=3), batches, st.randoms(use_true_random=False))
def test_permuting_different_prompts_permutes_their_advantages(before, batch, random):
    batch = list(dict(batch).items())  # each prompt once: the order of its own rewards matters
    order = list(range(len(batch)))
    random.shuffle(order)
    one, other = (EmaPromptStatTracker(decay=0.9, min_count=3) for _ in range(2))
    for earlier in before:
        one.update(*columns(earlier))
        other.update(*columns(earlier))
    permuted = other.update(*columns([batch[index] for index in order]))
    np.testing.assert_allclose(permuted, one.update(*columns(batch))[order], **CLOSE)


@settings(deadline=None)
@given(streams, decays)
def test_statistics_do_not_depend_on_how_a_stream_is_cut_into_batches(stream, decay):
    """But for rounding, since a batch's steps are taken at once."""
    cut, whole = (EmaPromptStatTracker(decay, min_count=1) for _ in range(2))
    for batch in stream:
        cut.update(*columns(batch))
    whole.update(*columns([pair for batch in stream for pair in batch]))
    for one, other in zip(cut.stats(), whole.stats(), strict=True):
        assert (one["prompt"], one["count"]) == (other["prompt"], other["count"])
        assert one["mean"] == pytest.approx(other["mean"], abs=1e-9)
        assert one["std"] ** 2 == pytest.approx(other["std"] ** 2, abs=1e-9)


def test_many_repeats_do_not_underflow_into_nonsense():
    """5,000 repeats with decay 1/2: the first weights are 0, the mean that of the last rewards."""
    tracker = EmaPromptStatTracker(decay=0.5, min_count=1)
    rewards = np.r_[np.full(4900, -3.0), np.tile([0.0, 1.0], 50)]
    assert np.isfinite(tracker.update(["a"] * 5000, rewards)).all()
    (row,) = tracker.stats()
    assert row["mean"] == pytest.approx(2 / 3)  # m = (m/2 + 0)/2 + 1/2
    assert row["count"] == 5000
