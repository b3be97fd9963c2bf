"""The solver that needs no model: known edits, right and wrong, drawn from a documented distribution.

It exercises the environment as a policy would, at a success rate that is known: 25 %, the sum of the weights
of the right edits. It says nothing about any model, and every result names it.
"""

from collections.abc import Sequence

import numpy as np

from rlvr.repair.forgeries import KNOWN
from rlvr.repair.known import KnownSubmission
from rlvr.repair.solver import Attempt, Transcript

# Probability of each known submission. The shares are our judgement of what a weak policy does (the right
# idea one time in four, else a wrong formula more often than a broken file); no model was measured for them.
WEIGHTS = {
    "sqrt": 0.12,
    "power": 0.05,
    "math_sqrt": 0.04,
    "uniform_mask": 0.02,
    "exponential": 0.02,
    "untouched": 0.12,
    "sqrt_keep": 0.11,
    "no_scale": 0.09,
    "sqrt_drop": 0.06,
    "square": 0.04,
    "one_rate": 0.03,
    "comment": 0.02,
    "undefined": 0.07,
    "syntax": 0.05,
    "scaled_evaluation": 0.04,
    "renamed_class": 0.03,
    "renamed_argument": 0.02,
    "edited_test": 0.04,
    "no_dropout": 0.02,
    "gaussian": 0.01,
}


def _edits() -> dict[str, KnownSubmission]:
    return {known.name: known for known in KNOWN if known.name in WEIGHTS}


def design_success_rate() -> float:
    """The probability of a right edit."""
    return sum(WEIGHTS[name] for name, edit in _edits().items() if edit.passes)


class MutationSolver:
    """Draws one edit per attempt by the seed and the attempt's number."""

    name = "mutations"
    model = ""

    def __init__(self, seed: int):
        self._seed = seed
        self._edits = _edits()

    def solve(self, attempts: Sequence[Attempt]) -> list[Transcript]:
        """Write the drawn edit into each workspace; its name is the label."""
        return [self._solve(attempt) for attempt in attempts]

    def draw(self, number: int) -> KnownSubmission:
        """The edit of an attempt."""
        stream = np.random.default_rng([self._seed, number])
        return self._edits[str(stream.choice(list(WEIGHTS), p=list(WEIGHTS.values())))]

    def _solve(self, attempt: Attempt) -> Transcript:
        edit = self.draw(attempt.number)
        edit.write(attempt.workspace)
        return Transcript(edit.name)
