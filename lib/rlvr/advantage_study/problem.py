"""The reference problem: a policy gradient whose optimum is known, with prompts that differ in their rewards.

The policy of a prompt is a Gaussian Normal(parameter, scale), its one action a sample, and the reward
−|sample − label|; the best parameter is the label. ∂ log Normal(x; m, s) / ∂m = (x − m) / s² is the score,
and 1 / s² the Fisher information of m, so advantage × (x − m) is the advantage times the score times the
inverse Fisher information: the natural policy gradient (Amari 1998; Kakade 2001) from one sample, with step
size 1.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.trackers import make_tracker
from rlvr.advantages.tracker import AdvantageTracker, FloatArray, IntArray
from rlvr.config.advantage import ProblemConfig

REFERENCE_PROBLEM = ProblemConfig(
    prompts=64, draws=256, epochs=1000, slots=1024, labels=256, largest_scale=4.0, score_epochs=10
)
NAME_LETTERS = 16
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Prompts:
    """The P prompts of a seed: names, labels (P,), slots (P,) and scales (P,)."""

    names: list[str]
    labels: FloatArray
    slots: IntArray
    scales: FloatArray


@dataclass(frozen=True)
class PromptHistory:
    """What the tracker knew after each of E epochs of P prompts, in the order in which they were first drawn.

    mean, std (E, P) float32, count (E, P) int32; NaN and 0 for a prompt that was not seen yet. Of the batch
    tracker P = 1: the one prompt, named "", stands for the epoch's whole batch.
    """

    prompts: list[str]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    count: NDArray[np.int32]

    @classmethod
    def empty(cls, epochs: int, prompts: int) -> Self:
        """Nothing recorded, and the prompts have no names so far."""
        mean, std = (np.full((epochs, prompts), np.nan, dtype=np.float32) for _ in range(2))
        return cls([""] * prompts, mean, std, np.zeros((epochs, prompts), dtype=np.int32))

    def record(self, epoch: int, tracker: AdvantageTracker) -> None:
        """Enter a tracker's statistics in row `epoch`; a tracker's prompts stay in their order."""
        now = tracker.stats_arrays()
        self.mean[epoch, : len(now.mean)] = now.mean
        self.std[epoch, : len(now.std)] = now.std
        self.count[epoch, : len(now.count)] = now.count


@dataclass(frozen=True)
class ProblemRun:
    """One run: mean reward of each epoch (E,), the score (mean of the last of them), and the statistics."""

    seed: int
    rewards: FloatArray
    score: float
    history: PromptHistory


def stable_hash(purpose: str, name: str) -> int:
    """64 bits of SHA-256: the same number in every process, and another one for another purpose."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest()[:8], "big")


def hash_fraction(purpose: str, name: str) -> float:
    """A number in [0, 1), from the upper 53 bits of the hash so that it never rounds to 1."""
    return (stable_hash(purpose, name) >> 11) / 2**53


def draw_prompts(problem: ProblemConfig, generator: np.random.Generator) -> Prompts:
    """Random names; everything else of a prompt follows from its name."""
    letters = generator.integers(len(_LETTERS), size=(problem.prompts, NAME_LETTERS))
    names = ["".join(_LETTERS[letter] for letter in row) for row in letters.tolist()]
    return Prompts(
        names,
        np.array([stable_hash("label", name) % problem.labels for name in names], dtype=np.float64),
        np.array([stable_hash("slot", name) % problem.slots for name in names], dtype=np.intp),
        np.array([problem.largest_scale * hash_fraction("scale", name) for name in names]),
    )


def apply_updates(parameters: FloatArray, slots: IntArray, steps: FloatArray, accumulate: bool) -> None:
    """Add steps (B,) to the parameters at `slots` (B,), in place; of a slot's steps the last, or all."""
    if accumulate:
        np.add.at(parameters, slots, steps)
    else:
        # All from the old value, and a later assignment overwrites an earlier one of the same slot.
        parameters[slots] = parameters[slots] + steps


def run_problem(
    problem: ProblemConfig, method: Method, seed: int, on_epoch: Callable[[int], None] | None = None
) -> ProblemRun:
    """Train the problem once; `on_epoch` is called with 1, 2, … after each epoch.

    Names, first parameters, drawn prompts and noise have a random stream each, which depends on the seed
    alone, so that methods are compared in pairs by seed: they meet the same problem, draws and noise.
    """
    names, start, draws, noise = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(4)
    )
    prompts, tracker = draw_prompts(problem, names), make_tracker(method)
    name_array = np.array(prompts.names, dtype=object)
    parameters = start.uniform(0, problem.labels, problem.slots)
    rewards = np.empty(problem.epochs)
    history = PromptHistory.empty(problem.epochs, 1 if method.tracker == "batch" else problem.prompts)
    for epoch in range(problem.epochs):
        drawn = draws.integers(problem.prompts, size=problem.draws)
        slots = prompts.slots[drawn]
        moves = prompts.scales[drawn] * noise.standard_normal(problem.draws)  # sample − parameter
        reward = -np.abs(parameters[slots] + moves - prompts.labels[drawn])
        advantages = tracker.update(name_array[drawn], reward)
        apply_updates(parameters, slots, advantages * moves, method.accumulate)
        rewards[epoch] = reward.mean()
        history.record(epoch, tracker)
        if on_epoch:
            on_epoch(epoch + 1)
    history.prompts[:] = [""] if method.tracker == "batch" else _first_drawn_first(prompts, tracker)
    return ProblemRun(seed, rewards, float(rewards[-problem.score_epochs :].mean()), history)


def _first_drawn_first(prompts: Prompts, tracker: AdvantageTracker) -> list[str]:
    """All names: as the columns of the history in the order of the tracker, then those never drawn."""
    drawn = [str(name) for name in tracker.stats_arrays().prompts]
    return [*drawn, *(name for name in prompts.names if name not in drawn)]
