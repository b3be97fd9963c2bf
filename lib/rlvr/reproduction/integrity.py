"""Whether the files of a folder of results still have the hashes that its records have of them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlvr.errors import UserError
from rlvr.models.weights import read_weights, weight_hash
from rlvr.provenance import sha256_path
from rlvr.reproduction.recorded import Recorded, record_files, recorded_in


@dataclass(frozen=True)
class FileStatus:
    """One file or folder, or the stored tensors of one; `detail` says what is wrong, in words."""

    path: Path
    of: Literal["file", "weights"]
    status: Literal["unchanged", "changed", "missing"]
    detail: str = ""


def check_integrity(results: Path, data_root: Path) -> Iterator[FileStatus]:
    """Every file that a record of the folder has a hash of, once each; an unreadable record is changed."""
    recorded: dict[tuple[Path, Literal["file", "weights"]], list[Recorded]] = defaultdict(list)
    for file in record_files(results):
        try:
            for one in recorded_in(results, file, data_root):
                recorded[one.path, one.of].append(one)
        except UserError as error:
            yield FileStatus(file, "file", "changed", str(error))
    for (path, of), records in recorded.items():
        yield _status(path, of, records)


def _status(path: Path, of: Literal["file", "weights"], records: list[Recorded]) -> FileStatus:
    if not path.exists():
        return FileStatus(path, of, "missing")
    try:
        found = sha256_path(path) if of == "file" else weight_hash(read_weights(path))
    except UserError as error:
        return FileStatus(path, of, "changed", f"unreadable: {error}")
    others = sorted({str(one.by) for one in records if one.hash != found})
    if not others:
        return FileStatus(path, of, "unchanged")
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return FileStatus(path, of, "changed", f"not what {others[0]}{more} recorded")
