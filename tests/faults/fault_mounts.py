"""Mounts for trials: a small disk, and a folder that nobody can write into."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """A mount on the folder, for as long as the context lasts."""
    _mount(*arguments, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Whoever opens a file of the folder from now on finds it read-only, root too."""
    aside = folder.with_name(f"{folder.name}.read-only")
    aside.mkdir()
    # Aside, where nobody has opened a file to write into: else it would not turn read-only.
    with mounted(aside, "--bind", str(folder)):
        _mount("-o", "remount,bind,ro", str(aside))
        with mounted(folder, "--bind", str(aside)):
            yield


@cache
def why_no_mounts(folder: Path) -> str:
    """Why nothing can be mounted here; "" if it can."""
    folder.mkdir(exist_ok=True)
    try:
        with mounted(folder, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"file systems cannot be mounted here ({error})"
