"""VALIDATION_RESULTS.md: the calibration for people."""

from collections.abc import Iterable

from rlvr.repair.results import Calibration, spread
from rlvr.repair.task import RATES

VERDICTS = {
    "inside": "the whole interval lies inside the target",
    "outside": "the whole interval lies outside the target",
    "undecided": "the interval reaches over a bound of the target, so more attempts are needed to tell",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _percent(value: float | int | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _who(calibration: Calibration) -> str:
    config = calibration.config
    if config.solver == "mutations":
        return f"`mutations` (seeded edits, no model; seed {config.seed})"
    return f"`{config.solver}`, model `{config.model}` (seed {config.seed}, up to {config.turns} turns)"


def _cell(text: str) -> str:
    """Text of a submission's own making, as one table cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")[:120]


def summary_markdown(calibration: Calibration) -> str:
    """The page: success rate and verdict, failures by kind, variance errors, and every attempt."""
    rate, config = calibration.rate, calibration.config
    low, high = config.target
    errors = (
        (f"{r:g}", *map(_percent_or_count, spread(calibration.variance_errors(r)).items())) for r in RATES
    )
    attempts = (
        (
            a.number + 1, _cell(a.label), "passed" if a.passed else f"failed: {a.kind}",
            *(_percent(a.variance_errors.get(f"{r:g}")) for r in RATES),
            f"{a.solving_seconds:.2f}", f"{a.grading_seconds:.2f}", _cell("" if a.passed else a.feedback),
        )
        for a in calibration.attempts
    )  # fmt: skip
    spreads = ("drop rate", "attempts", "smallest", "lower quartile", "median", "upper quartile", "largest")
    columns = ("#", "what", "verdict", *(f"{r:g}" for r in RATES), "solving s", "grading s", "feedback")
    headline = (
        f"**{rate.passed} of {rate.runs} attempts passed: {_percent(rate.rate)}**, "
        f"{100 * config.confidence:g} % interval {_percent(rate.low)} to {_percent(rate.high)} (Wilson). "
        f"Target {_percent(low)} to {_percent(high)}: **{rate.verdict}**, {VERDICTS[rate.verdict]}."
    )
    return f"""# Validation of the repair environment

Solver: {_who(calibration)}

{headline}

## Failures by kind
{_table(("kind", "attempts"), calibration.failures.items())}
## Variance error
Relative error of the variance on the published inputs, of the attempts where it was measured.

{_table(spreads, errors)}
## Attempts
Variance errors at drop rates {", ".join(f"{r:g}" for r in RATES)}; seconds of solving and of grading.

{_table(columns, attempts)}"""


def _percent_or_count(item: tuple[str, float | int | None]) -> str:
    key, value = item
    return str(value) if key == "count" else _percent(value)
