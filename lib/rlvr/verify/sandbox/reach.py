"""Importing as another user: folders that only the server's user may reach, reached through open descriptors.

An interpreter below a private home (`/root/.pyenv`, say) cannot be read by a user that may not pass the home.
A descriptor of the folder itself, opened before the change of user, needs no passing.
"""

import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PASS_BY_OTHERS = 0o001


def reachable(search_path: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the search path in a form that every user can follow, and the descriptors it rests on."""
    paths, descriptors = [], []
    for path in search_path:
        if _open_to_all(path):
            paths.append(path)
            continue
        opened = os.open(path, os.O_PATH | os.O_DIRECTORY)
        descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(opened)
        paths.append(f"/proc/self/fd/{descriptor}")
        descriptors.append(descriptor)
        _move_packages(path, paths[-1])
    return paths, descriptors


def _open_to_all(path: str) -> bool:
    folders = [Path(path), *Path(path).parents]
    return all(folder.stat().st_mode & _PASS_BY_OTHERS for folder in folders)


def _move_packages(old: str, new: str) -> None:
    """Let the packages that are imported already find their further modules at the new place."""
    for module in list(sys.modules.values()):
        places = getattr(module, "__path__", None)
        if isinstance(places, list):
            places[:] = [
                new + place.removeprefix(old) if place.startswith(old) else place for place in places
            ]
    sys.path_importer_cache.clear()
