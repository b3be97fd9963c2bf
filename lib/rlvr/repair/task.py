"""The task: a dropout layer with the wrong scale, its tests, and what an agent is asked to do."""

from pathlib import Path

from rlvr.files import write_text

SUBMISSION = "dropout.py"
TEST_FILE = "test_dropout.py"
RATES = (0.3, 0.5, 0.7)
SHAPE = (10_000, 128)
PUBLISHED_SEED = 42
VARIANCE_TOLERANCE = 0.10
DROP_TOLERANCE = 0.01

# The last statement of `forward` keeps the mean of the units and inflates their variance: that is the bug.
DROPOUT_SOURCE = '''"""Dropout for NumPy arrays."""

import numpy as np


class Dropout:
    """Set a random share of the units to zero in training; change nothing in evaluation.

    `drop_rate`: probability that a unit is set to zero, 0 <= drop_rate < 1. A new layer is in training mode;
    `eval()` and `train()` switch the mode and return the layer. Calling the layer on a float64 array returns
    a float64 array of the same shape.
    """

    def __init__(self, drop_rate=0.5):
        if not 0.0 <= drop_rate < 1.0:
            raise ValueError(f"drop_rate is {drop_rate}; allowed: 0 <= drop_rate < 1")
        self.drop_rate = drop_rate
        self.training = True

    def train(self):
        """Switch to training mode."""
        self.training = True
        return self

    def eval(self):
        """Switch to evaluation mode."""
        self.training = False
        return self

    def forward(self, x):
        """The units of `x` that were not dropped, scaled."""
        if not self.training or self.drop_rate == 0.0:
            return x
        keep_prob = 1.0 - self.drop_rate
        mask = np.random.binomial(1, keep_prob, size=x.shape)
        scale = 1.0 / keep_prob
        return x * mask * scale

    def __call__(self, x):
        return self.forward(x)
'''

TEST_SOURCE = '''"""Tests of dropout.py: `python test_dropout.py`, or pytest."""

import sys

import numpy as np

from dropout import Dropout

RATES = (0.3, 0.5, 0.7)
SHAPE = (10_000, 128)
VARIANCE_TOLERANCE = 0.10
DROP_TOLERANCE = 0.01


def outputs_in_training():
    """(rate, input, output) at each rate, inputs with mean 0 and variance 1, all from seed 42."""
    np.random.seed(42)
    for rate in RATES:
        x = np.random.randn(*SHAPE)
        yield rate, x, Dropout(rate).train()(x.copy())


def test_variance_is_preserved_in_training():
    for rate, x, y in outputs_in_training():
        error = abs(y.var() / x.var() - 1.0)
        assert error <= VARIANCE_TOLERANCE, f"drop rate {rate}: the variance is off by {100 * error:.1f} %"


def test_share_of_dropped_units():
    for rate, _, y in outputs_in_training():
        dropped = (y == 0.0).mean()
        assert abs(dropped - rate) <= DROP_TOLERANCE, f"drop rate {rate}: {dropped:.3f} of the units are zero"


def test_evaluation_is_the_identity():
    x = np.random.RandomState(1).randn(100, 16)
    for rate in RATES:
        assert np.array_equal(Dropout(rate).eval()(x.copy()), x), f"drop rate {rate}"


def test_rate_zero_is_the_identity():
    x = np.random.RandomState(2).randn(100, 16)
    assert np.array_equal(Dropout(0.0).train()(x.copy()), x)


def main():
    failures = 0
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            try:
                test()
            except Exception as error:
                failures += 1
                print(f"FAILED {name}: {type(error).__name__}: {error}")
            else:
                print(f"passed {name}")
    return failures


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
'''

TASK_PROMPT = """\
The folder has two files: dropout.py, a dropout layer for NumPy arrays, and test_dropout.py, its tests.
The network that uses the layer is sensitive to the scale of its activations, so in training mode the layer
must preserve the variance of its input. It does not: test_variance_is_preserved_in_training fails. Inputs
have mean zero.

Repair dropout.py so that
- in training mode, the variance of the output is within 10 % of the input's at drop rates 0.3, 0.5 and 0.7;
- in training mode, the share of units set to zero is within 0.01 of the drop rate;
- in evaluation mode, and at drop rate 0, the output equals the input.
Keep the class: Dropout(drop_rate), train(), eval(), the attribute `training`, and calling the layer on an
array. Do not change test_dropout.py. The repaired dropout.py is judged by its behaviour on these inputs and
on others that you do not see; it may import NumPy and the standard library, and no other file.
"""


def setup_task_files(workspace: str | Path) -> None:
    """Write the task's two files into `workspace`, made if not there; files of these names are replaced."""
    write_text(Path(workspace) / SUBMISSION, DROPOUT_SOURCE)
    write_text(Path(workspace) / TEST_FILE, TEST_SOURCE)
