"""Reading and checking the rows of a source: every row becomes a problem or an error `file:line: ...`."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from rlvr.config.alignment import PairsSource
from rlvr.config.sources import JsonlSource, SyntheticSource
from rlvr.data.families import family_problems
from rlvr.data.problem import Problem
from rlvr.data.templates import LETTERS
from rlvr.errors import UserError


class DataError(UserError):
    """A data file, or a row in it, that cannot be used; the message names it."""


@dataclass(frozen=True)
class LoadedRows:
    """The problems of one source: of the `rows_read`, all but near copies, excluded ids and repeats.

    `repeats_dropped`: rows that are the same as an earlier one to the id, of uploads that repeat their rows.
    `files`: SHA-256 of the files read, by name.
    """

    problems: tuple[Problem, ...]
    rows_read: int
    near_copies_dropped: int = 0
    excluded: int = 0
    repeats_dropped: int = 0
    files: Mapping[str, str] = field(default_factory=dict)


def source_path(source: JsonlSource | PairsSource, data_root: str | Path) -> Path:
    """Return the file of a source; DataError if it is not there. An absolute path stands for itself."""
    path = Path(data_root) / source.path
    if not path.is_file():
        raise DataError(
            f"data file {source.path} is missing (looked for {path}, data_root is {str(data_root)!r}); "
            "set data_root in the config to the folder that holds it"
        )
    return path


def load_rows(
    source: SyntheticSource | JsonlSource, task: str, verifier: str, data_root: str | Path
) -> LoadedRows:
    """Read one source as problems of `task` judged by `verifier`.

    Answers are non-empty strings; JSON numbers are taken as they are written. With choices the answer is the
    letter of one of them. Blank lines are skipped. Anything else that is wrong raises DataError.
    """
    if isinstance(source, SyntheticSource):
        found = family_problems(source.family, source.split)
        problems = tuple(replace(problem, task=task, verifier=verifier) for problem in found)
        return LoadedRows(problems, len(problems))
    if verifier == "choice" and not source.choices_field:
        raise DataError(f"{source.path}: verifier choice needs choices; name the source's choices_field")
    if verifier == "code" and not (source.tests_field and source.entry_point_field):
        raise DataError(
            f"{source.path}: verifier code needs tests; name the source's tests_field and entry_point_field"
        )
    return _load_jsonl(source, task, verifier, source_path(source, data_root))


def load_pairs(source: PairsSource, task: str, verifier: str, data_root: str | Path) -> LoadedRows:
    """Read questions that come with a response each: `metadata["response"]` of the problem.

    All four fields are non-empty texts; a row in which one is not raises DataError.
    """
    problems: list[Problem] = []
    near_copies = 0
    path = source_path(source, data_root)
    for identity, reader in _included_rows(path, source.id_field, source.excluded_ids):
        problem = Problem(
            id=identity,
            task=task,
            prompt=reader.text(source.prompt_field),
            answer=reader.text(source.answer_field),
            verifier=verifier,
            metadata={"response": reader.text(source.response_field)},
        )
        if source.overlap_field and reader.field(source.overlap_field):
            near_copies += 1
        else:
            problems.append(problem)
    excluded = len(source.excluded_ids)
    return LoadedRows(tuple(problems), len(problems) + near_copies + excluded, near_copies, excluded)


def _load_jsonl(source: JsonlSource, task: str, verifier: str, path: Path) -> LoadedRows:
    problems: list[Problem] = []
    near_copies = 0
    for _, reader in _included_rows(path, source.id_field, source.excluded_ids):
        problem = reader.problem(source, task, verifier)
        if source.overlap_field and reader.field(source.overlap_field):
            near_copies += 1
        else:
            problems.append(problem)
    excluded = len(source.excluded_ids)
    return LoadedRows(tuple(problems), len(problems) + near_copies + excluded, near_copies, excluded)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as lines:
            yield from enumerate(lines, start=1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: no complete gzip file ({error}); copy it again") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line that is not blank; UserError names file:line of one that is none."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            # Decimal numbers stay as they are written ("2.50" does not become 2.5).
            row = json.loads(line.decode("utf-8"), parse_constant=_no_constant, parse_float=str)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: not UTF-8 ({error})") from error
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}:{number}: malformed JSON at column {error.colno} ({error.msg})"
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: malformed JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected a JSON object, found {line.decode()[:40].strip()!r}")
        yield number, row


@dataclass(frozen=True)
class RowReader:
    """The fields of one row, checked; `path` and `number` say where it stands."""

    path: Path | str
    number: int
    row: dict[str, Any]

    def error(self, message: str) -> DataError:
        """The error of this row."""
        return DataError(f"{self.path}:{self.number}: {message}")

    def field(self, name: str) -> Any:
        """The value of a field; DataError if there is none."""
        if name not in self.row:
            raise self.error(f"field {name!r} is missing; the row has {', '.join(self.row) or 'no fields'}")
        return self.row[name]

    def text(self, name: str) -> str:
        """A field as a text that is not empty (a whole number as it is written); else DataError."""
        return self._checked(name, self.field(name))

    def _checked(self, name: str, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self.error(
                f"{name} must be a string or a number, not {json.dumps(value, default=repr)[:40]}"
            )
        if not value.strip():
            raise self.error(f"{name} is empty")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.error(f"{name} has half of a surrogate pair, which is no text") from error
        return value

    def _identifier(self, name: str) -> str:
        value = self.text(name)
        if not value.isidentifier():
            raise self.error(f"{name} must be the name of a function, not {value[:40]!r}")
        return value

    def _choices(self, name: str) -> list[str]:
        value = self.field(name)
        if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS):
            raise self.error(f"{name} must be a list of 2 to {len(LETTERS)} choices")
        return [self._checked(f"{name}[{index}]", choice) for index, choice in enumerate(value)]

    def problem(self, source: JsonlSource, task: str, verifier: str) -> Problem:
        """The row as a problem of `task`; DataError names the field that is wrong."""
        answer = self.text(source.answer_field)
        metadata: dict[str, Any] = {}
        if source.choices_field:
            metadata["choices"] = self._choices(source.choices_field)
            allowed = LETTERS[: len(metadata["choices"])]
            if len(answer) != 1 or answer not in allowed:
                raise self.error(
                    f"{source.answer_field} must be one of the letters {allowed}, not {answer!r}"
                )
        if source.tests_field:
            metadata["tests"] = self.text(source.tests_field)
        if source.entry_point_field:
            metadata["entry_point"] = self._identifier(source.entry_point_field)
        return Problem(
            id=self.text(source.id_field),
            task=task,
            prompt=self.text(source.prompt_field),
            answer=answer,
            verifier=verifier,
            metadata=metadata,
        )


def _included_rows(path: Path, id_field: str, excluded_ids: Sequence[str]) -> Iterator[tuple[str, RowReader]]:
    """Id and reader of each row but the excluded ones; an id twice, or excluded without a row: DataError."""
    lines_by_id: dict[str, int] = {}
    for number, row in json_lines(path):
        reader = RowReader(path, number, row)
        identity = reader.text(id_field)
        if identity in lines_by_id:
            raise reader.error(f"id {identity!r} is already that of line {lines_by_id[identity]}")
        lines_by_id[identity] = number
        if identity not in excluded_ids:
            yield identity, reader
    if unknown := [identity for identity in excluded_ids if identity not in lines_by_id]:
        raise DataError(f"{path}: excluded_ids names rows that are not there: {', '.join(unknown)}")
