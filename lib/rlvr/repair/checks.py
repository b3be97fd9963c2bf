"""What a layer's output must look like: pure functions, computed outside its process."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlvr.repair.inputs import Case
from rlvr.repair.task import DROP_TOLERANCE, VARIANCE_TOLERANCE

# Why a submission fails; the first that applies, in the order of the grading.
FailureKind = Literal[
    "test_file",  # test_dropout.py is missing or changed
    "file",  # dropout.py is missing, no regular file, too large, or no text
    "syntax",  # dropout.py does not compile
    "exception",  # it raises
    "process",  # its process ends, or breaks the protocol or a limit
    "timeout",
    "memory",
    "interface",  # Dropout, its mode switches or its calls are not what they were
    "output",  # not a float64 array of the input's shape with finite numbers
    "evaluation",  # evaluation mode changes its input
    "rate_zero",  # drop rate 0 changes its input
    "drop_rate",  # the wrong share of units is zero
    "variance",  # the variance is off by more than the tolerance
    "hidden",  # right on the published inputs, wrong on those it could not know
]
# The identity may be off by rounding (a scale with a small epsilon), not by more.
IDENTITY_TOLERANCE = 1e-6
# A unit that is kept is its input times a scale. The scale may differ a little by row (one that counts the
# units really kept), so the check is of the correlation: fresh noise with the right variance has none.
KEPT_CORRELATION = 0.99


@dataclass(frozen=True)
class Finding:
    """One check: `kind` of the failure that it would be, whether it passed, and a line for people."""

    kind: FailureKind
    passed: bool
    line: str


def variance_error(inputs: np.ndarray, outputs: np.ndarray) -> float:
    """Relative error of the variance, var(outputs) / var(inputs) − 1, over all units; signed."""
    return float(outputs.var() / inputs.var() - 1.0)


def check_array(case: Case, value: Any) -> Finding | None:
    """A finding if `value` is not a finite float64 array of the input's shape, else None."""
    if type(value) is not np.ndarray:
        wrong = f"it is a {type(value).__name__}, not a NumPy array"
    elif value.dtype != case.inputs.dtype:
        wrong = f"its dtype is {value.dtype}, not {case.inputs.dtype}"
    elif value.shape != case.inputs.shape:
        wrong = f"its shape is {value.shape}, not {case.inputs.shape}"
    elif not np.isfinite(value).all():
        wrong = "it holds NaN or infinity"
    else:
        return None
    return Finding("output", False, f"output at drop rate {case.rate:g}: {wrong}")


def check_identity(case: Case, outputs: np.ndarray) -> Finding:
    """Evaluation mode, or drop rate 0: the output is the input."""
    error = float(np.abs(outputs - case.inputs).max())
    passed = error <= IDENTITY_TOLERANCE * float(np.abs(case.inputs).max())
    where = "drop rate 0 in training" if case.training else f"evaluation mode at drop rate {case.rate:g}"
    words = "the output is the input" if passed else f"the output differs from the input by up to {error:.3g}"
    return Finding("rate_zero" if case.training else "evaluation", passed, f"{where}: {words}")


def check_dropped(case: Case, outputs: np.ndarray) -> Finding:
    """Training mode: the share of zeros is the drop rate, and the other units carry their inputs."""
    kept = outputs != 0.0
    share = 1.0 - float(kept.mean())
    line = f"drop rate {case.rate:g}: {share:.4f} of the units are zero"
    passed = abs(share - case.rate) <= DROP_TOLERANCE
    if passed:
        inputs, carried = (case.inputs * kept).ravel(), outputs.ravel()
        norms = np.sqrt(np.dot(inputs, inputs) * np.dot(carried, carried))
        passed = bool(np.dot(inputs, carried) >= KEPT_CORRELATION * norms)
        line += "" if passed else ", but those kept are not their inputs times a scale"
    return Finding("drop_rate", passed, line)


def check_variance(case: Case, outputs: np.ndarray) -> tuple[Finding, float]:
    """Training mode: the variance is kept within the tolerance; with the finding comes the signed error."""
    error = variance_error(case.inputs, outputs)
    line = f"drop rate {case.rate:g}: the variance is off by {100 * error:+.1f} %"
    return Finding("variance", bool(abs(error) <= VARIANCE_TOLERANCE), line), error
