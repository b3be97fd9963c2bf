"""Samples a second that each tracker turns into advantages, on one core.

    OMP_NUM_THREADS=1 python bench/advantages.py        # half a minute

Batches of 4,096 samples, drawn with replacement from 10,000 prompts. CPU time of one thread, so that other
work on the machine counts less; median and range of repeats. "dictionary" is the share of the look-up of the
prompts' numbers, timed alone. Beside it, the same statistics by a dictionary of deques, sample by sample.
"""

import argparse
import statistics
import time
from collections import defaultdict, deque

import numpy as np

from rlvr.advantages import BatchStats, EmaPromptStatTracker, PerPromptStatTracker
from rlvr.advantages.tracker import PromptNumbers

PROMPTS, BATCH, BATCHES = 10_000, 4_096, 100


class DequeTracker:
    """What a loop over samples costs; population statistics of each prompt's buffer, or of the batch."""

    def __init__(self, buffer_size=32, min_count=16, eps=1e-7):
        self.buffers = defaultdict(lambda: deque(maxlen=buffer_size))
        self.min_count, self.eps = min_count, eps

    def enter(self, prompts, rewards):
        for prompt, reward in zip(prompts, rewards, strict=True):
            self.buffers[prompt].append(reward)

    def update(self, prompts, rewards):
        self.enter(prompts, rewards)
        common, own, advantages = (np.mean(rewards), np.std(rewards)), {}, np.empty(len(rewards))
        for index, (prompt, reward) in enumerate(zip(prompts, rewards, strict=True)):
            if prompt not in own:
                buffer = self.buffers[prompt]
                known = len(buffer) >= self.min_count
                own[prompt] = (np.mean(buffer), np.std(buffer)) if known else common
            mean, std = own[prompt]
            advantages[index] = (reward - mean) / (std + self.eps)
        return advantages


TRACKERS = {
    "batch statistics": BatchStats,
    "buffer of 32": PerPromptStatTracker,
    "EMA": EmaPromptStatTracker,
}


def batches_of(generator, names, batches):
    return [
        ([names[number] for number in generator.integers(PROMPTS, size=BATCH)], generator.normal(size=BATCH))
        for _ in range(batches)
    ]


def cpu_seconds(function, batches):
    start = time.thread_time()
    for batch in batches:
        function(*batch)
    return time.thread_time() - start


def samples_a_second(function, batches, repeats):
    """Of each repeat; one pass before, which fills the buffers, is not counted."""
    cpu_seconds(function, batches)
    return [len(batches) * BATCH / cpu_seconds(function, batches) for _ in range(repeats)]


def report(name, speeds, remark=""):
    median, low, high = (value / 1e6 for value in (statistics.median(speeds), min(speeds), max(speeds)))
    print(f"  {name:22s} {median:6.2f} M samples/s ({low:.2f} to {high:.2f}){remark}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    generator = np.random.default_rng(0)
    batches = batches_of(generator, [f"prompt {number}" for number in range(PROMPTS)], BATCHES)
    numbers = PromptNumbers()
    look_up = statistics.median(samples_a_second(lambda prompts, _: numbers.of(prompts), batches, repeats))
    print(f"{PROMPTS:,} prompts, batches of {BATCH:,}, {repeats} repeats; look-up {look_up / 1e6:.1f} M/s")
    for name, make in TRACKERS.items():
        speeds = samples_a_second(make().update, batches, repeats)
        share = (
            "" if make is BatchStats else f"; dictionary {100 * statistics.median(speeds) / look_up:.0f} %"
        )
        report(name, speeds, share)
    slow = DequeTracker()
    for batch in batches:
        slow.enter(*batch)  # full buffers, as the others have
    report("dictionary of deques", samples_a_second(slow.update, batches[:5], min(repeats, 5)))


if __name__ == "__main__":
    main()
