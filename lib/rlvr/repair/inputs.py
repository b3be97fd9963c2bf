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
class HiddenCases:
    """Inputs that a submission cannot know.

    `repeated`: the published rates and shape; `varied`: another rate, shape and spread, so that a layer made
    for the published ones alone shows; `evaluation` and `rate_zero`: where the layer must change nothing.
    """

    repeated: tuple[Case, ...]
    varied: Case
    evaluation: tuple[Case, ...]
    rate_zero: Case


def hidden_cases(seed: int) -> HiddenCases:
    """The hidden inputs of one seed. All have mean zero: no scale preserves the variance of others."""
    stream = np.random.default_rng(seed)

    def case(rate: float, training: bool, shape: tuple[int, int], spread: float = 1.0) -> Case:
        inputs = spread * stream.standard_normal(shape)
        return Case(rate, training, inputs, _state(np.random.RandomState(stream.integers(2**32))))

    def small() -> tuple[int, int]:
        return int(stream.integers(200, 400)), int(stream.integers(24, 48))

    varied_shape = int(stream.integers(3000, 5000)), int(stream.integers(60, 120))
    return HiddenCases(
        repeated=tuple(case(rate, True, SHAPE) for rate in RATES),
        varied=case(stream.uniform(0.25, 0.75), True, varied_shape, stream.uniform(0.3, 4.0)),
        evaluation=tuple(case(rate, False, small(), stream.uniform(0.3, 4.0)) for rate in RATES),
        rate_zero=case(0.0, True, small(), stream.uniform(0.3, 4.0)),
    )
