"""The tables of the report, as text ready to print."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rlvr.analysis.gains import gain_rows
from rlvr.analysis.hypothesis import POOLED, p_words, ratio_words
from rlvr.analysis.load import POINTS, SEED_REPEAT
from rlvr.analysis.tables import BASE_STRATUM
from rlvr.report.page import Table, number


def _interval(low: float | None, high: float | None, pattern: str) -> str:
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return ""
    return f" [{number(low, pattern)}, {number(high, pattern)}]"


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
        row.Index: _gain_cell(row, "*" if some and not row.with_base else "") for row in chosen.itertuples()
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
        for column in (name for name in own if name.startswith(BASE_STRATUM)):
            stratum, base = column.removeprefix(BASE_STRATUM), own[column]
            if base.notna().any():
                gains = (POINTS * (own[f"accuracy_{stratum}"] - base)).groupby(own["arm"]).mean()
                cells = (number(gains.get(arm), "{:+.1f}") for arm in arms)
                rows.append((task, stratum, number(POINTS * base.dropna().iloc[0], "{:.1f}"), *cells))
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
    cells = {(row.arm, row.task): _kl_cell(row) for row in measured.itertuples()}
    return _by_task("KL(policy ‖ base), nats per response: mean over seeds (sd)", arms, cells)


def pass_table(runs: pd.DataFrame) -> Table:
    """pass@k by arm and task, means over all runs."""
    columns = sorted((name for name in runs if name.startswith("pass_at_")), key=lambda name: int(name[8:]))
    means = runs.groupby(["task", "arm"], sort=False)[columns].mean()
    rows = tuple(
        (task, arm, *(number(value, "{:.3f}") for value in row))
        for (task, arm), row in zip(means.index, means.to_numpy(), strict=True)
    )
    return Table("pass@k, mean over runs", ("task", "arm", *(f"pass@{name[8:]}" for name in columns)), rows)


def weights_table(weights: pd.DataFrame) -> Table:
    """Sparsity and relative change by arm."""
    rows = tuple(
        (
            arm,
            number(own["sparsity"].mean() * 100, "{:.1f}"),
            number(own["sparsity"].std() * 100, "{:.1f}"),
            number(own["relative_change"].mean(), "{:.4f}"),
        )
        for arm, own in weights.groupby("arm", sort=False)
    )
    head = ("arm", "weights equal to the base's in bf16, %", "sd over runs", "relative weight change")
    return Table("How far the weights moved", head, rows)


def components_table(components: pd.DataFrame) -> Table:
    """Standard deviations by component of variance."""
    rows = tuple(
        (
            row.arm,
            row.task,
            row.component.replace("_", "-"),
            number(row.sd_points, "{:.2f}"),
            number(row.variance_points2, "{:.3f}"),
            number(row.sampling_variance_points2, "{:.3f}"),
            "" if pd.isna(row.note) else row.note,
        )
        for row in components.itertuples()
    )
    head = ("arm", "task", "component", "sd, points", "variance", "of sampling", "note")
    return Table("Variance components of accuracy (points²), sampling noise taken out", head, rows)


def _detectable(claim: Mapping[str, Any]) -> str:
    if claim["power"] is not None:
        return f"power {claim['power']:.2f}"
    if not claim["detectable_by"]:
        return "–"
    if claim["detectable"] is None:
        return "none"
    alone = " on a single task" if claim["task"] == POOLED else ""
    return f"ratio {ratio_words(claim['detectable'])}{alone}"


def _beside(claim: Mapping[str, Any]) -> str:
    beside = claim["beside"]
    return "–" if not beside or beside["pvalue"] is None else p_words(beside["pvalue"])


def claims_table(claims: Sequence[Mapping[str, Any]]) -> Table:
    """Every test with its numbers."""
    rows = tuple(
        (
            claim["id"],
            claim["arm"],
            claim["part"],
            claim["task"],
            number(claim["effect"]) + _interval(claim["low"], claim["high"], "{:.3g}"),
            claim["test"] or "–",
            number(claim["pvalue"], "{:.4f}"),
            number(claim["pvalue_adjusted"], "{:.4f}"),
            _beside(claim),
            _detectable(claim),
            claim["verdict"],
        )
        for claim in claims
        if claim["effect_name"]
    )
    head = (
        "", "arm", "part", "task", "effect [interval]", "test", "p", "adjusted p", "Brown–Forsythe",
        "power, or ratio found at 80 %", "verdict",
    )  # fmt: skip
    return Table("All tests; effects are differences in points (H1) or ratios (H2, H3)", head, rows)
