"""Reading and writing files so that a crash never leaves half of one under its final name."""

import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlvr.errors import UserError
from rlvr.liveness import process_runs


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove the temporaries of `path` whose process has been killed."""
    temporaries = re.compile(rf"\.{re.escape(path.name)}\.(\d{{1,9}})\.(tmp|old)")
    for sibling in path.parent.iterdir():
        found = temporaries.fullmatch(sibling.name)
        if found and not process_runs(int(found[1])):
            remove(sibling)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`.

    What the caller writes may be a file or a folder. On an error the temporary is removed and what stood
    at `path` before is unchanged. A process that is killed leaves its temporary behind; the next one to write
    `path` removes it. (So machines that share the folder must not write the same `path` at the same time.)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove(temporary)
    _remove_stale(path)
    try:
        yield temporary
        for written in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _sync(written)
        _replace(path, temporary)
        _sync(path.parent)
    finally:
        remove(temporary)


def _replace(path: Path, temporary: Path) -> None:
    """Give `temporary` its name. A folder of that name is renamed first, so that nobody sees half of it."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    remove(old)
    os.replace(path, old)  # os.replace does not replace a folder that has content
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    remove(old)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, record: Any) -> None:
    """Write one record as indented JSON; NaN and infinity are refused (ValueError), they are no JSON."""
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read one JSON record."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with its header; a NaN is an empty cell, a key that is no column a ValueError."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({key: "" if value != value else value for key, value in row.items()})  # noqa: PLR0124


def write_jsonl(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line; gzip (with mtime 0, so equal content is equal bytes) if named `.gz`."""
    with atomic_path(path) as temporary, temporary.open("wb") as raw:
        packed = (
            gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) if str(path).endswith(".gz") else raw
        )
        with io.TextIOWrapper(packed, encoding="utf-8") as lines:
            for record in records:
                lines.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a `.jsonl` or `.jsonl.gz` file that this package wrote.

    UserError names the line from which on it is damaged, or where it was cut off.
    """
    open_text = gzip.open if str(path).endswith(".gz") else open
    number = 1
    try:
        with open_text(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    raise ValueError("the line has no end")
                yield json.loads(line)
                number += 1
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path}:{number}: cut off or damaged ({error}); delete the file and make it again"
        ) from error


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
