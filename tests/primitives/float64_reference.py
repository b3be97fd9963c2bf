"""Random cases of the training primitives, their values in numpy float64, and slopes of that numpy.

Inputs are fp32; an error of 1e-6 is allowed relative to the size of the terms that are added up (never less
than 1), which no result in fp32 can undercut by much: 2^-24 is 6e-8 a rounding.
"""

import math

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

LOSS_TYPES = ("no_baseline", "reinforce_with_baseline", "grpo_clip", "grpo_no_clip")
CLIP_RANGES = (0.2, (0.2, 0.28), (0.1, 0.4))
bounded = settings(max_examples=25, deadline=None)
shapes = st.tuples(st.integers(1, 6), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)


def close(found, expected, scale=1.0):
    """Within 1e-6 of the float64 reference, relative to `scale` where that is above 1."""
    expected = np.asarray(expected)
    found = found.detach().double().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * max(1.0, float(scale)), equal_nan=True)


def fp32(array):
    return torch.tensor(np.asarray(array), dtype=torch.float32)


def f64(tensor):
    return tensor.detach().double().numpy()


class Case:
    """Random log-probabilities, old ones, rewards, advantages (fp32) and a mask, of a shape and seed.

    Ratios keep a distance from both clip limits, where the gradient jumps and fp32 may fall on another side.
    """

    def __init__(self, shape, seed, cliprange=0.2):
        rng = np.random.default_rng(seed)
        low, high = cliprange if isinstance(cliprange, tuple) else (cliprange, cliprange)
        self.log_probs = fp32(-rng.exponential(1.0, shape))
        difference = rng.normal(0, 0.3, shape)
        for limit in (1 - low, 1 + high):
            difference[np.abs(np.exp(difference) - limit) < 1e-3] = 0.0
        self.old = fp32(f64(self.log_probs) - difference)
        self.advantages = fp32(rng.normal(0, 1, (shape[0], 1)))
        self.rewards = fp32(rng.integers(0, 2, (shape[0], 1)))
        self.mask = torch.tensor(rng.random(shape) < 0.6)
        self.low, self.high, self.cliprange = low, high, cliprange

    def arguments(self, rows=slice(None), columns=0, junk=0.0):
        """What a step takes besides log-probabilities and mask; with so many more columns, of junk."""
        return {
            "raw_rewards": self.rewards[rows],
            "advantages": self.advantages[rows],
            "old_log_probs": padded(self.old[rows], columns, junk),
            "cliprange": self.cliprange,
        }


def padded(tensor, columns, value):
    return torch.cat([tensor, torch.full((len(tensor), columns), value, dtype=tensor.dtype)], 1)


def token_losses(case, log_probs, loss_type):
    """The four losses in numpy, token by token."""
    losses = np.zeros(log_probs.shape)
    for (row, position), log_prob in np.ndenumerate(log_probs):
        advantage = f64(case.advantages)[row, 0]
        ratio = math.exp(log_prob - f64(case.old)[row, position])
        within = min(max(ratio, 1 - case.low), 1 + case.high)
        losses[row, position] = {
            "no_baseline": -f64(case.rewards)[row, 0] * log_prob,
            "reinforce_with_baseline": -advantage * log_prob,
            "grpo_no_clip": -advantage * ratio,
            "grpo_clip": -min(advantage * ratio, advantage * within),
        }[loss_type]
    return losses


def reference_step(case, log_probs, loss_type, steps, normalization="masked_mean", constant=1.0):
    """The loss of a GRPO microbatch in numpy: a sum over a response, its divisor, the mean over responses."""
    mask = case.mask.numpy()
    losses = token_losses(case, log_probs, loss_type)
    rows = []
    for row in range(len(mask)):
        total = sum(losses[row, position] for position in range(mask.shape[1]) if mask[row, position])
        length = mask[row].sum()
        rows.append(total / (constant if normalization == "masked_normalize" else max(length, 1)))
    return sum(rows) / len(rows) / steps


def differences(function, at, step=1e-5):
    """Gradient of a numpy function by central differences."""
    gradient = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[index] += sign * step
            ends.append(function(moved))
        gradient[index] = (ends[0] - ends[1]) / (2 * step)
    return gradient
