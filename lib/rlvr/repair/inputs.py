"""The arrays that a submission is judged on, and the random state that its worker gets with each."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from rlvr.repair.task import PUBLISHED_SEED, RATES, SHAPE

# State of NumPy's legacy generator (MT19937): key, position, whether a normal is kept back, that normal.
LegacyState = tuple[np.ndarray, int, int, float]


@dataclass(frozen=True)
class Case:
    """One call of the layer: its drop rate and mode, its input, and the random state it starts from."""

    rate: float
    training: bool
    inputs: np.ndarray
    state: LegacyState


def _state(generator: np.random.RandomState) -> LegacyState:
    _, key, position, has_normal, normal = generator.get_state(legacy=True)
    assert isinstance(key, np.ndarray)  # the type of the state does not tell its parts apart
    return key, int(position), int(has_normal), float(normal)


@cache
def published_cases() -> tuple[Case, ...]:
    """What test_dropout.py draws: one stream from seed 42, per rate an input and the layer's own numbers.

    The layer's own numbers are taken to be those of the task's dropout.py, one binomial a unit; with them the
    task's scale is off by 43.0, 100.2 and 233.8 %. A submission that draws in another way gets the same
    inputs. Treat the arrays as read-only: they are kept for the life of the process.
    """
    stream = np.random.RandomState(PUBLISHED_SEED)
    cases = []
    for rate in RATES:
        inputs = stream.randn(*SHAPE)
        inputs.setflags(write=False)
        cases.append(Case(rate, True, inputs, _state(stream)))
        stream.binomial(1, 1.0 - rate, size=SHAPE)
    return tuple(cases)


@dataclass(frozen=True)
class HiddenIdentityCases:
    """Inputs that a submission cannot know, in `evaluation` mode and at `rate_zero`: nothing may change."""

    evaluation: tuple[Case, ...]
    rate_zero: Case


def hidden_identity_cases(seed: int) -> HiddenIdentityCases:
    """Small hidden inputs of one seed, of several spreads."""
    stream = np.random.default_rng([0, seed])

    def case(rate: float, training: bool) -> Case:
        shape = int(stream.integers(200, 400)), int(stream.integers(24, 48))
        return _hidden_case(stream, rate, training, shape, stream.uniform(0.3, 4.0))

    return HiddenIdentityCases(tuple(case(rate, False) for rate in RATES), case(0.0, True))


def hidden_training_cases(seed: int) -> tuple[Case, ...]:
    """Hidden inputs of one seed at the published rates and shape; last, another rate, shape and spread.

    The last one shows a layer that was made for the published ones alone. All inputs have mean zero: no scale
    preserves the variance of others.
    """
    stream = np.random.default_rng([1, seed])
    repeated = [_hidden_case(stream, rate, True, SHAPE, 1.0) for rate in RATES]
    rate, spread = stream.uniform(0.25, 0.75), stream.uniform(0.3, 4.0)
    shape = int(stream.integers(3000, 5000)), int(stream.integers(60, 120))
    return *repeated, _hidden_case(stream, rate, True, shape, spread)


def _hidden_case(
    stream: np.random.Generator, rate: float, training: bool, shape: tuple[int, int], spread: float
) -> Case:
    inputs = spread * stream.standard_normal(shape)
    return Case(rate, training, inputs, _state(np.random.RandomState(stream.integers(2**32))))
