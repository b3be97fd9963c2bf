"""The tables of the report, as text ready to print."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rlvr.analysis.hypothesis import p_words, ratio_words


@dataclass(frozen=True)
class Table:
    """A caption, the heads of the columns and the rows; every cell is text."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None, pattern: str = "{:.3g}") -> str:
    """A number in a pattern; an en dash where there is none."""
    return "–" if value is None or pd.isna(value) else pattern.format(value).replace("-", "−")


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


def _gain_cell(row: Any) -> str:
    """`+14.5 (1.1) [+13.1, +15.9]`."""
    mean, sd = number(row.mean, "{:+.1f}"), number(row.sd, "{:.1f}")
    return f"{mean} ({sd}){_interval(row.low, row.high, '{:+.1f}')}"


def gains_table(arms: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Table:
    """ΔJ by task and arm, the base's accuracy beside it."""
    deltas = arms[arms["metric"] == "delta_points"]
    wide = deltas[deltas["interval"] == "seeds_and_base"]
    cells = {(row.arm, row.task): _gain_cell(row) for row in (wide if len(wide) else deltas).itertuples()}
    table = _by_task("", arms, cells)
    base = runs.groupby("task")["base_accuracy"].first()
    tasks = list(dict.fromkeys(arms["task"]))
    rows = tuple(
        (row[0], f"{100 * base[task]:.1f}", *row[1:]) for task, row in zip(tasks, table.rows, strict=True)
    )
    covers = "the sampling error of the base included" if len(wide) else "over seeds only"
    caption = f"ΔJ in points: mean over seeds (sd) [{100 * confidence:g} % interval, {covers}]"
    return Table(caption, ("task", "base, %", *table.head[1:]), rows)


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
    return "none" if claim["detectable"] is None else f"ratio {ratio_words(claim['detectable'])}"


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


def data_tables(manifest: Mapping[str, Any]) -> list[Table]:
    """Every data set: rows kept and dropped, verifier, template, source; and its hashes."""
    sets = [
        ("training", manifest["train"]),
        *(("evaluation", entry) for entry in manifest["evaluation"].values()),
    ]
    counts = tuple(
        (
            use,
            str(entry["task"]),
            f"{entry['rows']:,}",
            f"{entry['rows_read']:,}",
            *(_count(entry.get(f"{what}_dropped")) for what in ("near_copies", "duplicates", "overlap")),
            entry["verifier"],
            entry["template"],
            _source(entry["sources"]),
        )
        for use, entry in sets
    )
    hashes = tuple((use, str(entry["task"]), entry["sha256"], entry["prompts_sha256"]) for use, entry in sets)
    head = ("use", "task", "rows", "read", "near-copies dropped", "duplicates dropped", "overlap dropped")
    return [
        Table("Data sets", (*head, "verifier", "template", "source"), counts),
        Table("SHA-256 of the data sets", ("use", "task", "rows", "templated prompts"), hashes),
    ]


def _count(value: Any) -> str:
    """A count, or the sum of counts by task."""
    if isinstance(value, Mapping):
        value = sum(value.values())
    return "–" if value is None else f"{value:,}"


def _source(source: Any) -> str:
    """A source (or several) in short: its kind and what it names."""
    if isinstance(source, Sequence) and not isinstance(source, str):
        return ", ".join(map(_source, source))
    if not isinstance(source, Mapping):
        return str(source)
    names = [str(source[key]) for key in ("path", "family", "split") if source.get(key)]
    return " ".join([str(source.get("kind", "")), *names]).strip()


def _flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys joined by dots; lists as JSON."""
    flat: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return flat


# What a run is called, and what every run's own copy says again.
LABEL_KEYS = ("job.mode", "job.seed", "job.rep", "mode.name", "notes")
# Differ in every run and are shown by run; what else differs is shown by arm.
RUN_KEYS = ("weight_hash", "seconds")


def provenance_tables(records: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[Any]]) -> list[Table]:
    """What all runs share, what differs between arms, and what each run has alone."""
    flat = [_flatten(record) for record in records]
    keys = [key for key in dict.fromkeys(key for record in flat for key in record) if key not in LABEL_KEYS]
    shared = [key for key in keys if len({record.get(key) for record in flat}) == 1 and key not in RUN_KEYS]
    arms: dict[str, list[dict[str, str]]] = {}
    for record, (arm, _, _) in zip(flat, labels, strict=True):
        arms.setdefault(arm, []).append(record)
    by_arm = [
        key
        for key in keys
        if key not in shared
        and key not in RUN_KEYS
        and all(len({record.get(key) for record in own}) == 1 for own in arms.values())
    ]
    by_run = [key for key in keys if key not in shared and key not in by_arm]
    head = ("what", *arms)
    between = tuple((key, *(own[0].get(key, "–") for own in arms.values())) for key in by_arm)
    alone = tuple(
        (arm, str(seed), str(rep), *(record.get(key, "–") for key in by_run))
        for record, (arm, seed, rep) in zip(flat, labels, strict=True)
    )
    return [
        Table("The same in every run", ("what", "value"), tuple((key, flat[0][key]) for key in shared)),
        Table("Different between arms", head, between),
        Table("By run", ("arm", "seed", "repeat", *by_run), alone),
    ]
