"""The report's tables of data and provenance."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.report.page import Table


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
    names = [str(source[key]) for key in ("path", "repo", "revision", "family", "split") if source.get(key)]
    return " ".join([str(source.get("kind", "")), *names]).strip()


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A record with nested keys joined by dots, lists as JSON."""
    flat: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return flat


# What a run is called, and what every run's own copy says again.
LABEL_KEYS = ("job.seed", "job.rep", "mode.name", "notes")
# Hashes of a run's own tables, which `python -m rlvr verify` reads; the weights' stands for the run.
OUTPUTS = "outputs."
# Differ in every run and are shown by run; what else differs is shown by arm.
RUN_KEYS = ("weight_hash", "seconds")


def provenance_tables(records: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[Any]]) -> list[Table]:
    """What all runs share, what differs between arms, and what each run has alone."""
    flat = [flatten(record) for record in records]
    found = dict.fromkeys(key for record in flat for key in record)
    keys = [key for key in found if key not in LABEL_KEYS and not key.startswith(OUTPUTS)]
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


def prompts_table(records: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[Any]]) -> Table:
    """By arm: training prompts used, and left out because they leave no room for a response.

    No rows where none was left out.
    """
    counts = {
        (arm, record["prompts"]["used"], record["prompts"]["too_long"], record["prompts"]["room"]): None
        for record, (arm, _, _) in zip(records, labels, strict=True)
        if record["prompts"]["too_long"]
    }
    rows = tuple((arm, *(f"{count:,}" for count in own)) for arm, *own in counts)
    head = ("arm", "used", "too long, left out", "tokens that a prompt may have")
    return Table("Training prompts, a row for each count among the runs of an arm", head, rows)
