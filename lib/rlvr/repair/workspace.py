"""Files of a workspace, read and written without leaving it, whatever an untrusted hand put there."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_BYTES = 64 * 1024
MAX_FILES = 64
MAX_PATH_BYTES = 512


class WorkspaceError(ValueError):
    """Why a file of the workspace is refused, in words for the agent; paths in it are relative."""


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell
        raise WorkspaceError("the text is no Unicode text") from error


def _parts(name: str) -> tuple[str, ...]:
    """The components of a relative path that stays inside by its spelling."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise WorkspaceError("the path is empty or no text")
    if len(_encoded(name)) > MAX_PATH_BYTES:
        raise WorkspaceError("the path is too long")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or not parts:
        raise WorkspaceError(f"{name!r}: only paths inside the workspace are allowed")
    return parts


@contextmanager
def _parent(workspace: Path, parts: tuple[str, ...], make: bool = False) -> Iterator[int]:
    """Descriptor of the folder that holds the last part; no step on the way follows a symbolic link."""
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            if make:
                with suppress(FileExistsError):  # a file or link of that name is refused below
                    os.mkdir(part, dir_fd=folder)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def read_bytes(workspace: str | Path, name: str, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file; WorkspaceError for anything else, and for more than `limit` bytes."""
    parts = _parts(name)
    try:
        with _parent(Path(workspace), parts) as folder:
            # Non-blocking, so that a named pipe does not hold the grader up.
            descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise WorkspaceError(f"{name}: cannot be read ({error.strerror})") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise WorkspaceError(f"{name}: is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise WorkspaceError(f"{name}: is larger than {limit} bytes")
    return content


def read_text(workspace: str | Path, name: str, limit: int = MAX_BYTES) -> str:
    """The content of a regular file of UTF-8 text without NUL characters."""
    try:
        text = read_bytes(workspace, name, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorkspaceError(f"{name}: is no UTF-8 text") from error
    if "\0" in text:
        raise WorkspaceError(f"{name}: holds NUL characters")
    return text


def write_text(workspace: str | Path, name: str, text: str) -> None:
    """Write a file, with the folders on its way; an existing link, folder or device is refused."""
    parts, content = _parts(name), _encoded(text)
    if len(content) > MAX_BYTES:
        raise WorkspaceError(f"{name}: is larger than {MAX_BYTES} bytes")
    if not _exists(Path(workspace), parts) and len(list(file_names(workspace))) >= MAX_FILES:
        raise WorkspaceError(f"{name}: the workspace already holds {MAX_FILES} files")
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with _parent(Path(workspace), parts, make=True) as folder:
            descriptor = os.open(parts[-1], flags, 0o644, dir_fd=folder)
    except OSError as error:
        raise WorkspaceError(f"{name}: cannot be written ({error.strerror})") from error
    with os.fdopen(descriptor, "wb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise WorkspaceError(f"{name}: is no regular file of the workspace's own")
        file.truncate(0)
        file.write(content)


def _exists(workspace: Path, parts: tuple[str, ...]) -> bool:
    return os.path.lexists(workspace.joinpath(*parts))


def file_names(workspace: str | Path) -> Iterator[str]:
    """Relative names of the regular files, sorted; links are passed over, not followed."""
    root = Path(workspace)
    for path in sorted(root.rglob("*")):  # rglob does not enter links to folders
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(root).as_posix()
