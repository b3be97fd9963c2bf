"""The tables of the report, as text ready to print."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rlvr.analysis.gains import gain_rows
from rlvr.analysis.hypothesis import p_words, ratio_words
from rlvr.analysis.load import SEED_REPEAT
from rlvr.analysis.tables import BASE_STRATUM
from rlvr.report.page import Table, number
from rlvr.statistics.samples import POINTS
from rlvr.table_rows import table_rows


def _interval(low: float | None, high: float | None, pattern: str) -> str:
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return ""
    return f" [{number(low, pattern)}, {number(high, pattern)}]"


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None or pd.isna(ratio) else ratio_words(ratio)


def _ratio_interval(ratio: float | None, low: float | None, high: float | None) -> str:
    """A ratio with its interval, bounds in words where a number would pretend too much."""
    told = _ratio(ratio)
    return told if "–" in (_ratio(low), _ratio(high)) else f"{told} [{_ratio(low)}, {_ratio(high)}]"


def _by_task(caption: str, arms: pd.DataFrame, cell: Mapping[tuple[str, str], str]) -> Table:
    """Tasks down, arms across."""
    names, tasks = list(dict.fromkeys(arms["arm"])), list(dict.fromkeys(arms["task"]))
    on_task = set(arms.loc[arms["on_task"], "task"])
    rows = [
        (f"{task} (on-task)" if task in on_task else task, *(cell.get((name, task), "–") for name in names))
        for task in tasks
    ]
    return Table(caption, ("task", *names), tuple(rows))


def _gain_cell(row: Any, mark: str) -> str:
    """`+14.5 (1.1) [+13.1, +15.9]`, with a mark behind."""
    mean, sd = number(row.mean, "{:+.1f}"), number(row.sd, "{:.1f}")
    return f"{mean} ({sd}){_interval(row.low, row.high, '{:+.1f}')}{mark}"


def gains_table(arms: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Table:
    """ΔJ by task and arm, the base's accuracy beside it."""
    chosen = gain_rows(arms)
    some = chosen["with_base"].any()
    cells = {
        row.Index: _gain_cell(row, "*" if some and not row.with_base else "") for row in table_rows(chosen)
    }
    table = _by_task("", arms, cells)
    base = runs.groupby("task")["base_accuracy"].first()
    tasks = list(dict.fromkeys(arms["task"]))
    rows = tuple(
        (row[0], f"{100 * base[task]:.1f}", *row[1:]) for task, row in zip(tasks, table.rows, strict=True)
    )
    covers = "the sampling error of the base included" if some else "over seeds only"
    caption = f"ΔJ in points: mean over seeds (sd) [{100 * confidence:g} % interval, {covers}]"
    if some and not chosen["with_base"].all():
        caption += ". * over seeds only: with one sample per problem the base's error is not known"
    return Table(caption, ("task", "base, %", *table.head[1:]), rows)


def strata_table(runs: pd.DataFrame) -> Table:
    """The base's accuracy by stratum of the problems, and mean ΔJ by arm; no rows without strata."""
    seeds = runs[runs["rep"] == SEED_REPEAT]
    arms, rows = list(dict.fromkeys(runs["arm"])), []
    for task, own in seeds.groupby("task", sort=False):
        for column in (name for name in map(str, own) if name.startswith(BASE_STRATUM)):
            stratum, base = column.removeprefix(BASE_STRATUM), own[column]
            if base.notna().any():
                gains = (POINTS * (own[f"accuracy_{stratum}"] - base)).groupby(own["arm"]).mean()
                cells = (number(gains.get(arm), "{:+.1f}") for arm in arms)
                rows.append((str(task), stratum, number(POINTS * base.dropna().iloc[0], "{:.1f}"), *cells))
    return Table(
        "ΔJ in points by stratum of the problems: mean over seeds",
        ("task", "stratum", "base, %", *arms),
        tuple(rows),
    )


def _kl_cell(row: Any) -> str:
    return f"{row.mean:#.3g} ({number(row.sd, '{:#.2g}')})"


def kl_table(arms: pd.DataFrame) -> Table:
    """KL to the base by task and arm."""
    measured = arms[arms["metric"] == "kl_full"]
    cells = {(row.arm, row.task): _kl_cell(row) for row in table_rows(measured)}
    return _by_task("KL(policy ‖ base), nats per response: mean over seeds (sd)", arms, cells)


def pass_table(runs: pd.DataFrame) -> Table:
    """pass@k by arm and task, means over seeds."""
    seeds = runs[runs["rep"] == SEED_REPEAT]
    columns = sorted(
        (name for name in map(str, runs) if name.startswith("pass_at_")), key=lambda name: int(name[8:])
    )
    means = seeds.groupby(["task", "arm"], sort=False)[columns].mean()
    rows = tuple(
        (task, arm, *(number(value, "{:.3f}") for value in row))
        for (task, arm), row in zip(means.index, means.to_numpy(), strict=True)
    )
    return Table("pass@k, mean over seeds", ("task", "arm", *(f"pass@{name[8:]}" for name in columns)), rows)


def weights_table(weights: pd.DataFrame) -> Table:
    """Sparsity and relative change by arm, over seeds."""
    seeds = weights[weights["rep"] == SEED_REPEAT]
    rows = tuple(
        (
            str(arm),
            number(own["sparsity"].mean() * 100, "{:.1f}"),
            number(own["sparsity"].std() * 100, "{:.1f}"),
            number(own["relative_change"].mean(), "{:.4f}"),
        )
        for arm, own in seeds.groupby("arm", sort=False)
    )
    head = ("arm", "weights equal to the base's in bf16, %", "sd over seeds", "relative weight change")
    return Table("How far the weights moved", head, rows)


def components_table(components: pd.DataFrame) -> Table:
    """Variances by component with their intervals, and standard deviations."""
    rows = tuple(
        (
            row.arm,
            row.task,
            row.component.replace("_", " "),
            number(row.sd_points, "{:.2f}"),
            number(row.variance_points2, "{:.3f}")
            + _interval(row.variance_low_points2, row.variance_high_points2, "{:.3g}"),
            "" if pd.isna(row.note) else row.note,
        )
        for row in table_rows(components)
    )
    head = ("arm", "task", "component", "sd, points", "variance [interval]", "note")
    caption = (
        "Variance components of accuracy, points² (variance_components.csv): between training seeds and "
        "between repeats of a seed with the sampling noise taken out, and that noise itself"
    )
    return Table(caption, head, rows)


# Quantities of predictions.csv whose findings are ratios begin so.
RATIO_QUANTITIES = ("Var[ΔJ]", "KL")


def predictions_table(predictions: pd.DataFrame) -> Table:
    """What the source study predicts of each arm, and what was found, at equal steps and progress.

    The last column is the place of the row's `how` in `prediction_notes`.
    """
    notes = prediction_notes(predictions)
    rows = tuple(
        (
            row.quantity,
            row.arm,
            f"equal {row.basis}",
            row.prediction,
            _ratio_interval(row.found, row.low, row.high)
            if row.quantity.startswith(RATIO_QUANTITIES)
            else number(row.found) + _interval(row.low, row.high, "{:.3g}"),
            "–" if pd.isna(row.agrees) else row.agrees,
            str(notes.index(row.how) + 1),
        )
        for row in table_rows(predictions)
    )
    head = ("quantity", "arm", "compared at", "predicted", "found [interval]", "agrees", "note")
    caption = (
        "Predictions and findings (predictions.csv): differences in points for E[ΔJ], ratios arm / reference "
        "for Var[ΔJ] and KL, shares for sparsity; whether they agree follows the verdicts above"
    )
    return Table(caption, head, rows)


def prediction_notes(predictions: pd.DataFrame) -> list[str]:
    """How the findings were computed and what they hold by construction, each text once."""
    return list(dict.fromkeys(predictions["how"]))


def missing_table(missing: pd.DataFrame) -> Table:
    """The runs that are left out, and why."""
    rows = tuple((row.arm, str(row.seed), str(row.rep), row.reason) for row in table_rows(missing))
    return Table("Runs left out (missing.csv)", ("arm", "seed", "repeat", "reason"), rows)


def matches_table(matches: pd.DataFrame) -> Table:
    """Which step of each arm stands for it at equal progress, and each run's own progress there."""
    rows = tuple(
        (
            row.arm,
            row.run_arm,
            str(row.seed),
            row.measure,
            number(row.level),
            number(row.step, "{:.0f}"),
            number(row.progress),
            number(row.arm_progress),
            number(row.last_progress),
            "yes" if row.matched else f"no: {row.reason}",
        )
        for row in table_rows(matches)
    )
    head = (
        "compared arm", "run of", "seed", "measure", "level", "step chosen", "progress there",
        "mean of the arm", "at the last step", "matched",
    )  # fmt: skip
    return Table(
        "Checkpoints at equal on-task progress (matches.csv): KL in nats or gain in points", head, rows
    )


def _detectable(claim: Mapping[str, Any]) -> str:
    """The smallest margin or ratio that the test shows with 80 % power, as `detectable_by` says."""
    by = claim["detectable_by"]
    if not by:
        return "–"
    if claim["detectable"] is None:
        return "none"
    if "points" in by:
        return f"margin {claim['detectable']:.1f} points"
    told = ratio_words(claim["detectable"])
    if "margin" in by:
        return f"margin, factor {told}"
    return f"ratio {told} on a single task" if "single task" in by else f"ratio {told}"


def _beside(claim: Mapping[str, Any]) -> str:
    beside = claim["beside"]
    return "–" if not beside or beside["pvalue"] is None else p_words(beside["pvalue"])


def claims_table(claims: Sequence[Mapping[str, Any]]) -> Table:
    """Every test with its numbers."""
    rows = tuple(
        (
            claim["id"],
            claim["arm"],
            f"equal {claim['basis']}",
            claim["part"],
            claim["task"],
            number(claim["effect"]) + _interval(claim["low"], claim["high"], "{:.3g}")
            if claim["id"] == "H1"
            else _ratio_interval(claim["effect"], claim["low"], claim["high"]),
            claim["test"] or "–",
            number(claim["pvalue"], "{:.4f}"),
            number(claim["pvalue_adjusted"], "{:.4f}"),
            _beside(claim),
            number(claim["power"], "{:.2f}"),
            _detectable(claim),
            claim["verdict"],
        )
        for claim in claims
        if claim["effect_name"]
    )
    head = (
        "claim", "arm", "compared at", "part", "task", "effect [interval]", "test", "p", "adjusted p",
        "Brown–Forsythe", "power", "shown with 80 % power", "verdict",
    )  # fmt: skip
    caption = (
        "All tests (hypotheses.json); effects are differences in points (H1) or ratios (H2, H3). Power: "
        "of equivalence, were the arms alike; of a larger or more variable arm, at the smallest ratio of "
        "interest"
    )
    return Table(caption, head, rows)
