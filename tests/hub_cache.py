"""Repositories in the layout of the hub's cache: blobs, snapshots that link to them, and refs."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
from pyarrow import parquet

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def store(
    cache: Path, kind: str, name: str, files: Mapping[str, bytes], listed: Sequence[str] | None = None
) -> Path:
    """Put a repository at COMMIT into the cache and return its snapshot.

    `listed`: all files that the repository has on the hub, in the listing that a download leaves there; None
    for those that are stored.
    """
    repository = cache / f"{kind}s--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs").mkdir(exist_ok=True)
    for path, content in files.items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        link = snapshot / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    sizes = {path: len(files.get(path, b"?")) for path in (files if listed is None else listed)}
    tree = {path: {"size": size, "blob_id": "0" * 40} for path, size in sizes.items()}
    (repository / "trees").mkdir()
    listing = {"format_version": 1, "files": tree}
    (repository / "trees" / f"{COMMIT}.json").write_text(json.dumps(listing))
    return snapshot


def parquet_bytes(rows: Sequence[Mapping]) -> bytes:
    """Rows as a Parquet file, their columns typed by what they hold."""
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), buffer)
    return buffer.getvalue()


def jsonl_bytes(rows: Sequence[Mapping]) -> bytes:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
