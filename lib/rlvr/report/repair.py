"""The page of the repair study: calibration, verdicts on known submissions, theory and measurement."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.figures.repair_captions import REPAIR_CAPTIONS
from rlvr.files import read_json
from rlvr.report.page import Table, as_yaml, number, read_figures, write_page
from rlvr.report.provenance import flatten
from rlvr.table_rows import table_rows

DATA_FILES = ("repair.html",)

VERDICTS = {
    "inside": "The whole interval lies inside the target.",
    "outside": "The whole interval lies outside the target.",
    "undecided": "The interval reaches over a bound of the target: it takes more attempts to tell.",
}
GROUPS = {"solution": "right", "wrong": "wrong", "forgery": "forgery"}


@dataclass(frozen=True)
class RepairReportInputs:
    """Files that the page reads; `figures` is the folder of the SVG files."""

    results: str | Path
    known: str | Path
    variance: str | Path
    provenance: str | Path
    figures: str | Path


def _percent(value: float | None, pattern: str = "{:+.1f} %") -> str:
    return number(None if value is None or pd.isna(value) else 100 * value, pattern)


def solver_sentence(solver: Mapping[str, Any]) -> str:
    """Who attempted the repair, so that no one takes edits without a model for a model's rate."""
    if solver["name"] == "mutations":
        return (
            f"Solver: mutations, seeded edits of the file without any model (seed {solver['seed']}). Their "
            "success rate says that the environment tells right from wrong edits; it is no model's rate."
        )
    server = f" at {solver['server']}" if solver["server"] else ""
    return (
        f"Solver: {solver['name']}, model {solver['model']}{server}, temperature {solver['temperature']:g}, "
        f"up to {solver['turns']} turns of {solver['max_tokens']} tokens."
    )


def rate_sentence(results: Mapping[str, Any]) -> str:
    """The success rate with its interval, and how it lies to the target."""
    low, high = results["target"]
    return (
        f"{results['passed']} of {results['runs']} attempts passed: {100 * results['rate']:.1f} %, "
        f"{100 * results['confidence']:g} % interval {100 * results['low']:.1f} to "
        f"{100 * results['high']:.1f} % (Wilson). The target is {100 * low:g} to "
        f"{100 * high:g} %. {VERDICTS[results['verdict']]}"
    )


def plain_sentence(results: Mapping[str, Any]) -> str:
    """The verdict on the success rate, for readers without statistics."""
    if results["verdict"] == "undecided":
        return "These attempts cannot tell whether the task is as hard as it is meant to be."
    if results["verdict"] == "inside":
        return "The task is as hard for this solver as it is meant to be."
    harder = results["rate"] < results["target"][0]
    return f"The task is {'harder' if harder else 'easier'} for this solver than it is meant to be."


def known_table(known: pd.DataFrame) -> Table:
    """Every known solution, wrong edit and forgery: what it must get and what it got."""
    rows = tuple(
        (
            row.name,
            GROUPS[row.group],
            row.what,
            "pass" if row.must_pass else "fail",
            "passed" if row.passed else f"failed: {row.kind.replace('_', ' ')}",
            "yes" if row.as_expected else "NO",
            *(_percent(getattr(row, f"error_{rate}")) for rate in (30, 50, 70)),
        )
        for row in table_rows(known)
    )
    head = ("name", "group", "what it is", "must", "verdict", "as it must be")
    errors = tuple(f"variance error at {rate}" for rate in (0.3, 0.5, 0.7))
    return Table("Known submissions and the grader's verdict on each", (*head, *errors), rows)


def variance_table(variance: pd.DataFrame) -> Table:
    """Theory and measurement side by side, a row for each drop rate."""
    series = list(variance.groupby(["scale", "mean"], sort=False))
    head = [
        f"{scale}, mean {mean:g}: {what}" for (scale, mean), _ in series for what in ("theory", "measured")
    ]
    columns = [own.set_index("rate") for _, own in series]
    rows = tuple(
        (f"{rate:g}", *(_percent(own.loc[rate, what]) for own in columns for what in ("theory", "measured")))
        for rate in columns[0].index
    )
    return Table("Relative error of the variance", ("drop rate", *head), rows)


def attempts_table(results: Mapping[str, Any]) -> Table:
    """Attempt by attempt."""
    rows = tuple(
        (
            str(attempt["number"] + 1),
            attempt["label"],
            "passed" if attempt["passed"] else f"failed: {attempt['kind'].replace('_', ' ')}",
            *(_percent(attempt["variance_errors"].get(rate)) for rate in ("0.3", "0.5", "0.7")),
            str(attempt["turns"]),
            "" if attempt["passed"] else attempt["feedback"][:160],
        )
        for attempt in results["attempts"]
    )
    errors = tuple(f"variance error at {rate}" for rate in (0.3, 0.5, 0.7))
    return Table("Attempts", ("attempt", "what was done", "verdict", *errors, "turns", "feedback"), rows)


def spread_table(results: Mapping[str, Any]) -> Table:
    """Distribution of the variance error over the attempts where it was measured."""
    rows = tuple(
        (rate, str(own["count"]), *(_percent(own[key]) for key in ("min", "q1", "median", "q3", "max")))
        for rate, own in results["variance_errors"].items()
    )
    head = ("drop rate", "attempts", "smallest", "lower quartile", "median", "upper quartile", "largest")
    return Table("Variance error over the attempts", head, rows)


def _read_known(path: str | Path) -> pd.DataFrame:
    """known_submissions.csv; only errors may be missing, since one of the submissions is called nan."""
    errors = {f"error_{rate}": [""] for rate in (30, 50, 70)}
    return pd.read_csv(path, keep_default_na=False, na_values=errors)


def _wrong_verdicts(known: pd.DataFrame) -> list[str]:
    wrong = ", ".join(known.loc[~known["as_expected"], "name"])
    return [f"The grader is wrong about {wrong}: its rewards cannot be trusted."] if wrong else []


def build_repair_report(inputs: RepairReportInputs, config: Mapping[str, Any], out_path: str | Path) -> None:
    """Write the page; `config` is the validated config's name and section `repair`."""
    results, known = read_json(inputs.results), _read_known(inputs.known)
    provenance = flatten(read_json(inputs.provenance))
    content = {
        "name": config["name"],
        "heading": "an environment in which a model mends a dropout layer",
        "lead": "Page of the repair study: can its grader be trusted, and is the task hard enough?",
        "warnings": _wrong_verdicts(known),
        "solver": solver_sentence(results["solver"]),
        "verdict": results["verdict"],
        "plain": plain_sentence(results),
        "rate": rate_sentence(results),
        "known_right": int(known["as_expected"].sum()),
        "known_count": len(known),
        "figures": read_figures(inputs.figures, REPAIR_CAPTIONS, out_path),
        "known": known_table(known),
        "variance": variance_table(pd.read_csv(inputs.variance)),
        "attempts": [spread_table(results), attempts_table(results)],
        "configuration": as_yaml(config),
        "provenance": Table("Calibration", ("what", "value"), tuple(provenance.items())),
    }
    write_page("repair", content, out_path)
