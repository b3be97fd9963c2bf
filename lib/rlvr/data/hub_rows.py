"""Rows of a hub data set as problems: read from the cache, mapped by a schema, checked like local rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlvr.config.sources import HubSource
from rlvr.data.hub_card import CARD
from rlvr.data.hub_files import split_files
from rlvr.data.hub_schemas import ROW_SCHEMAS, Layout, UnreadableValue, value_at
from rlvr.data.problem import Problem
from rlvr.data.rows import DataError, LoadedRows, RowReader, json_lines
from rlvr.errors import UserError
from rlvr.files import sha256_file
from rlvr.hub import HubRepository, cached_files, cached_snapshot


def load_hub_rows(source: HubSource, task: str, verifier: str) -> LoadedRows:
    """Read one source as problems of `task` judged by `verifier`.

    Ids begin with the schema; the upload's own id follows, or split, subset and the row's number from 0. A
    row that repeats an earlier one is dropped and counted. Anything that is wrong raises DataError, which
    names repository, commit, file and row (from 1); files that are not in the cache raise UserError.
    """
    layout = ROW_SCHEMAS[source.schema][0]
    if verifier == "choice" and not layout.choices:
        raise DataError(f"{source.repo}: verifier choice needs choices, which schema {source.schema} lacks")
    if verifier == "code" and not layout.tests:
        raise DataError(f"{source.repo}: verifier code needs tests, which schema {source.schema} lacks")
    repository = HubRepository("dataset", source.repo, source.revision)
    subsets = {subset: files_of(repository, subset, source.split) for subset in source.subsets or ("",)}
    names = sorted({name for files in subsets.values() for name in files})
    folder = cached_snapshot(repository, names)
    reading = _Reading(source, task, verifier)
    for subset, files in subsets.items():
        prefix = "/".join(filter(None, (source.split, subset)))
        rows = ((name, *row) for name in files for row in _rows(folder / name))
        for index, (name, number, row) in enumerate(rows):
            reading.add(RowReader(f"{repository}: {name}", number, row), f"{prefix}/{index:05d}")
    return reading.result(repository, {name: sha256_file(folder / name) for name in names})


def files_of(repository: HubRepository, subset: str, split: str) -> list[str]:
    """The files of one subset and split of a data set in the cache, by its card or by their names."""
    names = cached_files(repository)
    card = cached_snapshot(repository, [CARD]) / CARD if CARD in names else None
    return split_files(
        str(repository), names, card.read_text(encoding="utf-8") if card else "", subset, split
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (of the line, or of the row from 1) and columns of each row of a file."""
    if path.suffix != ".parquet":
        yield from json_lines(path)
        return
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise UserError(f"{path}: reading Parquet files needs pyarrow: pip install 'rlvr[hub]'") from error
    number = 0
    try:
        for batch in ParquetFile(path).iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: no sound Parquet file ({error}); fetch it again") from error


@dataclass
class _Reading:
    """The rows of one source, read so far: each id's problem and whether it is marked as a near copy."""

    source: HubSource
    task: str
    verifier: str
    found: dict[str, tuple[Problem, bool]] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    rows: int = 0
    repeats: int = 0

    def add(self, reader: RowReader, numbered: str) -> None:
        """Read a row of the upload; `numbered` names it where the upload has no ids."""
        self.rows += 1
        layout = self._layout(reader)
        own = (
            RowReader(reader.path, reader.number, {"id": value_at(reader.row, layout.id)})
            if layout.id
            else None
        )
        identity = f"{self.source.schema}/{own.text('id') if own else numbered}"
        if identity in self.excluded:
            self.repeats += 1
        elif identity in self.source.excluded_ids:
            self.excluded.add(identity)
        else:
            self._keep(identity, self._problem(reader, layout, identity), reader)

    def _layout(self, reader: RowReader) -> Layout:
        """The layout whose columns the row has; DataError names what the nearest one lacks."""
        lacking = []
        for layout in ROW_SCHEMAS[self.source.schema]:
            missing = layout.missing(reader.row)
            if not missing:
                return layout
            lacking.append(missing)
        missing = min(lacking, key=len)
        columns = "column" if len(missing) == 1 else "columns"
        raise reader.error(
            f"schema {self.source.schema} misses {columns} {', '.join(missing)}; the row has "
            f"{', '.join(reader.row) or 'none'}"
        )

    def _problem(self, reader: RowReader, layout: Layout, identity: str) -> Problem:
        try:
            values = layout.read(reader.row)
        except UnreadableValue as error:
            raise reader.error(str(error)) from error
        checked = RowReader(reader.path, reader.number, values | {"id": identity})
        return checked.problem(layout.fields, self.task, self.verifier)

    def _keep(self, identity: str, problem: Problem, reader: RowReader) -> None:
        near_copy = bool(self.source.overlap_field and reader.field(self.source.overlap_field))
        if identity not in self.found:
            self.found[identity] = (problem, near_copy)
        elif self.found[identity] == (problem, near_copy):
            self.repeats += 1
        else:
            raise reader.error(f"id {identity!r} is already that of another row with other content")

    def result(self, repository: HubRepository, files: Mapping[str, str]) -> LoadedRows:
        """What was read; DataError where an excluded id is of no row."""
        if unknown := sorted(set(self.source.excluded_ids) - self.excluded):
            raise DataError(f"{repository}: excluded_ids names rows that are not there: {', '.join(unknown)}")
        problems = tuple(problem for problem, near_copy in self.found.values() if not near_copy)
        near_copies = len(self.found) - len(problems)
        return LoadedRows(problems, self.rows, near_copies, len(self.excluded), self.repeats, files)
