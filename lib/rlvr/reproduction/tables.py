"""Two tables that should be the same: CSV, JSON, or one JSON object a line."""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rlvr.files import read_json, read_jsonl
from rlvr.reproduction.comparison import Comparison, Parting, Verdict

Leaves = dict[str, Any]

# Times differ in every run. `weight_hash` and `provenance` of an evaluation are judged by their own files.
_NOT_COMPARED = ("weight_hash", "provenance")
# Functions of which tokens were drawn and how they were judged: a single other token makes another run.
_DRAWN = frozenset(
    (
        *("accuracy", "accuracy_halves", "correct", "finished_share", "format_ok", "format_rate", "pass_at"),
        *(
            "response_length_mean",
            "response_tokens",
            "reward",
            "reward_mean",
            "reward_std",
            "stopped",
            "strata",
        ),
    )
)
# Numbers whose size has no natural unit; the others have one (shares, nats, rewards, points).
_RELATIVE = frozenset(("grad_norm", "learning_rate", "update_to_weight"))


def compare_tables(name: str, ours: Path, theirs: Path, tolerance: float) -> Comparison:
    """Compare row by row, and cell by cell in the order of the first table.

    Whole numbers, text, and what follows from the tokens drawn must be equal. Other numbers a and b are equal
    within rounding if |a − b| ≤ tolerance · max(1, |a|, |b|), the 1 only for numbers with a natural unit.
    A file that cannot be read to its end is different.
    """
    if ours.read_bytes() == theirs.read_bytes():
        return Comparison(name)
    first: Parting | None = None
    rows = zip_longest(enumerate(_rows(ours), start=1), enumerate(_rows(theirs), start=1))
    try:
        for one, other in rows:
            for verdict, parting in _partings(one, other, tolerance):
                first = first or parting
                if verdict is Verdict.DIFFERENT:
                    return Comparison(name, first, parting)
    except (ValueError, EOFError, csv.Error, gzip.BadGzipFile, zlib.error) as error:
        unreadable = Parting(f"unreadable: {error}")
        return Comparison(name, first or unreadable, unreadable)
    return Comparison(name, first)


def _partings(
    one: tuple[int, Leaves] | None, other: tuple[int, Leaves] | None, tolerance: float
) -> Iterator[tuple[Verdict, Parting]]:
    if one is None or other is None:
        present = one or other
        assert present is not None  # zip_longest: at least one of them is there
        number, row = present
        side = "first" if other is None else "second"
        yield Verdict.DIFFERENT, Parting(f"row {number} is in the {side} only", _step(row))
        return
    (number, row), (_, reference) = one, other
    step = _step(row)
    place = f"seed {row['seed']}, " if "seed" in row else "" if step is not None else f"row {number}, "
    for key in dict.fromkeys([*row, *reference]):
        a, b = row.get(key, "nothing"), reference.get(key, "nothing")
        verdict = _judge(key, a, b, tolerance)
        if verdict is not Verdict.IDENTICAL:
            yield verdict, Parting(f"{place}{key}: {_shown(a)} against {_shown(b)}", step)


def _judge(key: str, a: Any, b: Any, tolerance: float) -> Verdict:
    names = key.split(".")
    if a == b or any(_is_left_out(name) for name in names):
        return Verdict.IDENTICAL
    number, other = _number(a), _number(b)
    if number is None or other is None or _DRAWN.intersection(names):
        return Verdict.DIFFERENT
    scale = max(abs(number), abs(other), 0.0 if _RELATIVE.intersection(names) else 1.0)
    return Verdict.EQUAL if abs(number - other) <= tolerance * scale else Verdict.DIFFERENT


def _is_left_out(name: str) -> bool:
    return name.startswith("seconds") or name.endswith("_per_second") or name in _NOT_COMPARED


def _number(value: Any) -> float | None:
    """A number that is no whole one, from JSON or from a cell; None for anything else."""
    if isinstance(value, str):
        try:
            int(value)
        except ValueError:
            try:
                return float(value)
            except ValueError:
                return None
        return None
    return value if isinstance(value, float) else None


def _shown(value: Any) -> str:
    text = str(value) or "empty"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _step(row: Leaves) -> int | None:
    return int(row["step"]) if "step" in row else None


def _rows(path: Path) -> Iterator[Leaves]:
    """The rows of a table, each as cells by dotted name; a JSON file is one row."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if None in row or None in row.values():
                    raise ValueError("a row has not as many cells as the header")
                yield dict(row)
    elif path.suffix == ".json":
        yield dict(_leaves(read_json(path), ""))
    else:
        yield from (dict(_leaves(row, "")) for row in read_jsonl(path))


def _leaves(record: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(record, Mapping):
        parts: Iterable[tuple[Any, Any]] = record.items()
    elif isinstance(record, list):
        parts = enumerate(record)
    else:
        yield prefix, record
        return
    for key, value in parts:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
