"""Slow references in exact fractions, one sample at a time, and what the tests of all trackers share."""

import math
from fractions import Fraction

from hypothesis import strategies as st

from rlvr.advantages import BatchStats, EmaPromptStatTracker, PerPromptStatTracker

MAKERS = {
    "batch": BatchStats,
    "buffer": lambda: PerPromptStatTracker(buffer_size=4, min_count=2),
    "ema": lambda: EmaPromptStatTracker(decay=0.75, min_count=2),
}
PROMPTS = ("red", "green", "blue", 7, ("two", "parts"))

# Eighths are exact in binary, and the spread of some that differ is far above their rounding.
eighths = st.integers(-80, 80).map(lambda number: number / 8)
batches = st.lists(st.tuples(st.sampled_from(PROMPTS), eighths), min_size=1, max_size=14)
streams = st.lists(batches, min_size=1, max_size=6)
epsilons = st.sampled_from([1e-7, 1e-3, 0.5])


def columns(batch):
    """Prompts and rewards of a batch of pairs."""
    return [prompt for prompt, _ in batch], [reward for _, reward in batch]


def make_stream(batches=8, size=12, seed=0):
    """Batches of names and rewards, in which every prompt comes many times."""
    import numpy as np

    generator = np.random.default_rng(seed)
    return [
        ([f"prompt {number}" for number in generator.integers(5, size=size)], generator.normal(size=size))
        for _ in range(batches)
    ]


def moments(rewards):
    """Mean and population variance, exact."""
    mean = sum(map(Fraction, rewards)) / len(rewards)
    return mean, sum((Fraction(reward) - mean) ** 2 for reward in rewards) / len(rewards)


def root(variance):
    """Square root of a fraction, as a float."""
    return math.sqrt(variance)


def advantage(reward, mean, variance, eps):
    return float(Fraction(reward) - mean) / (root(variance) + eps)


class ReferenceBuffer:
    """All rewards of each prompt in a list, of which the last `buffer_size` count."""

    def __init__(self, buffer_size, min_count, eps):
        self.buffer_size, self.min_count, self.eps = buffer_size, min_count, eps
        self.all = {}

    def update(self, batch):
        for prompt, reward in batch:
            self.all.setdefault(prompt, []).append(reward)
        common = moments([reward for _, reward in batch])
        return [
            advantage(
                reward, *(self.own(prompt) if self.count(prompt) >= self.min_count else common), self.eps
            )
            for prompt, reward in batch
        ]

    def count(self, prompt):
        return min(len(self.all[prompt]), self.buffer_size)

    def own(self, prompt):
        return moments(self.all[prompt][-self.buffer_size :])

    def stats(self):
        return [(prompt, *self.own(prompt), self.count(prompt)) for prompt in self.all]


class ReferenceEma:
    """Finch's recurrence, reward by reward."""

    def __init__(self, decay, min_count, eps):
        self.decay, self.min_count, self.eps = Fraction(decay), min_count, eps
        self.all = {}

    def step(self, prompt, reward):
        if prompt not in self.all:
            self.all[prompt] = (Fraction(reward), Fraction(0), 1)
            return
        mean, variance, count = self.all[prompt]
        distance = Fraction(reward) - mean
        self.all[prompt] = (
            mean + (1 - self.decay) * distance,
            self.decay * (variance + (1 - self.decay) * distance**2),
            count + 1,
        )

    def update(self, batch):
        for prompt, reward in batch:
            self.step(prompt, reward)
        common = moments([reward for _, reward in batch])
        return [
            advantage(
                reward,
                *(self.all[prompt][:2] if self.all[prompt][2] >= self.min_count else common),
                self.eps,
            )
            for prompt, reward in batch
        ]

    def stats(self):
        return [(prompt, *numbers) for prompt, numbers in self.all.items()]


def assert_same_stats(tracker, reference):
    """Same prompts in the same order; mean and deviation to 1e-9 (rewards up to 10, 84 of them at most)."""
    rows, expected = tracker.stats(), reference.stats()
    assert [(row["prompt"], row["count"]) for row in rows] == [(own[0], own[3]) for own in expected]
    for row, (_, mean, variance, _) in zip(rows, expected, strict=True):
        assert abs(row["mean"] - float(mean)) < 1e-9
        # The root of a variance that is 0 but for rounding (1e-16 of the squares, 100) is 1e-7.
        assert abs(row["std"] ** 2 - float(variance)) < 1e-9


def assert_same_tracked(tracker, reference, min_count):
    """Whether prompts have statistics of their own; a prompt that never came has none."""
    counts = {prompt: count for prompt, _, _, count in reference.stats()}
    expected = [counts.get(prompt, 0) >= min_count for prompt in PROMPTS]
    assert tracker.tracked(PROMPTS).tolist() == expected
