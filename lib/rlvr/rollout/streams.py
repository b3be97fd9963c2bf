"""Random streams: what is drawn for a rollout depends on which one it is, not on when it is drawn."""

import hashlib

import numpy as np


def _digest(parts: tuple[int | str, ...], size: int) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=size).digest()


def stream_seed(seed: int, step: int, resampling_round: int) -> int:
    """Seed, in [0, 2⁶³), of one `generate` call in training."""
    return int.from_bytes(_digest(("stream", seed, step, resampling_round), 8), "little") >> 1


def rollout_seed(seed: int, prompt_id: str, occurrence: int, sample: int) -> int:
    """Seed, in [0, 2⁶³), of one rollout, for an engine that draws with generators of its own.

    The arguments are those of `RolloutStreams`.
    """
    return int.from_bytes(_digest(("rollout", seed, prompt_id, occurrence, sample), 8), "little") >> 1


def named_generator(purpose: str, *numbers: int) -> np.random.Generator:
    """A generator of its own for one purpose: no two (purpose, numbers) share a stream."""
    return np.random.Generator(
        np.random.Philox(key=int.from_bytes(_digest((purpose, *numbers), 16), "little"))
    )


class RolloutStreams:
    """Uniform numbers of the rollouts of one `generate` call.

    Philox-4x64 (Salmon et al. 2011) keyed by BLAKE2b of (seed, prompt id, occurrence, sample). One bit
    generator is re-keyed for each rollout, which is four times faster than making one.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self._bits = np.random.Philox(key=0)
        self._state = self._bits.state  # counter 0, nothing buffered
        self._generator = np.random.Generator(self._bits)

    def uniforms(self, prompt_id: str, occurrence: int, sample: int, count: int) -> np.ndarray:
        """The first `count` float64 numbers in [0, 1) of a rollout; more of them start with the same ones.

        `occurrence`: how often `prompt_id` was asked for before in this call; `sample`: index in its group.
        """
        key = np.frombuffer(_digest(("rollout", self._seed, prompt_id, occurrence, sample), 16), dtype="<u8")
        self._state["state"]["key"] = key
        self._bits.state = self._state
        return self._generator.random(count)
