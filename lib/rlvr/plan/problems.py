"""How many problems a data source has, as far as its rows are on this machine."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlvr.data.families import FAMILY_SIZES
from rlvr.errors import UserError

Config = Mapping[str, Any]


def evaluation_problems(config: Config, task: str) -> int | None:
    """Problems that an evaluation samples of a task; None where its rows are not here.

    Counted in the prepared file if there is one, else in the source, before duplicates are dropped.
    """
    prepared = _prepared(config, f"eval/{task}.jsonl")
    source = config["data"]["evaluation"][task]["source"]
    found: int | None
    if prepared is not None:
        found = prepared
    elif source["kind"] == "holdout":
        found = config["data"]["train"]["holdout"]["rows"]
    else:
        found = source_rows(source, config["data_root"])
    rows = config["precision"]["evaluation"]["tasks"][task]["rows"]
    if rows is None:
        return found
    return rows if found is None else min(rows, found)


def training_problems(config: Config) -> int | None:
    """Problems that the precision study trains on; None where rows of a source are not here."""
    prepared = _prepared(config, "train.jsonl")
    if prepared is not None:
        return prepared
    sources = config["data"]["train"]["sources"]
    counts = [source_rows(source, config["data_root"]) for source in sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _prepared(config: Config, name: str) -> int | None:
    file = Path("results") / config["name"] / "data" / name
    if not file.is_file():
        return None
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def source_rows(source: Config, data_root: str) -> int | None:
    """Rows of an embedded family or a local file that are used; None for what is not on this machine."""
    if source["kind"] == "synthetic":
        return FAMILY_SIZES[source["family"]][source["split"]]
    if source["kind"] != "jsonl":
        return None
    file = Path(data_root) / source["path"]
    if not file.is_file():
        return None
    overlap, count = source["overlap_field"], 0
    open_text = gzip.open if file.suffix == ".gz" else open
    with open_text(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                count += not (overlap and _row(file, number, line).get(overlap))
    return count - len(source["excluded_ids"])


def _row(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}:{number}: is not valid JSON: {error}") from error
