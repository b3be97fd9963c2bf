"""What the card of a data set (README.md) says of its files: subsets, and where the files of each split lie.

https://huggingface.co/docs/hub/datasets-manual-configuration
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rlvr.data.rows import DataError

CARD = "README.md"
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_FORMS = (
    "allowed: a path, a list of paths, a list of {split, path}, or paths by split; a path is one in the "
    "repository, and ** in it stands for whole folders"
)


@dataclass(frozen=True)
class FilePattern:
    """Files of a split: a path from the top of the repository, in which `*` and `**` may stand."""

    split: str
    path: str


@dataclass(frozen=True)
class Subset:
    """An entry of the card's `configs`.

    Without `patterns` (None) the names of the files in `folder` ("": all of the repository) say the split.
    """

    name: str
    is_default: bool
    folder: str
    patterns: tuple[FilePattern, ...] | None


def read_card(where: str, card: str) -> dict[str, Subset]:
    """The subsets that a card lists, by name; none where it lists none.

    A list in a form that the hub does not document raises DataError, which begins with `where` and says what
    was found.
    """
    matter = _FRONT_MATTER.match(card)
    try:
        fields = (yaml.safe_load(matter[1]) if matter else None) or {}
    except yaml.YAMLError as error:
        raise DataError(f"{where}: the head of {CARD} is not valid YAML: {error}") from error
    if not isinstance(fields, Mapping):
        raise DataError(f"{where}: the head of {CARD} must be a mapping, not {fields!r:.200}")
    configs = fields.get("configs") or []
    if not isinstance(configs, list):
        raise DataError(f"{where}: `configs` in {CARD} must be a list of subsets, not {configs!r:.200}")
    subsets = [_subset(where, config) for config in configs]
    return {subset.name: subset for subset in subsets}


def _subset(where: str, config: Any) -> Subset:
    if not isinstance(config, Mapping) or "config_name" not in config:
        raise DataError(f"{where}: an entry of `configs` in {CARD} has no config_name: {config!r:.200}")
    name, folder = str(config["config_name"]), config.get("data_dir") or ""
    if not isinstance(folder, str):
        raise DataError(f"{where}: data_dir of subset {name} in {CARD} must be a path, not {folder!r:.200}")
    is_default = bool(config.get("default")) or name == "default"
    folder = "" if posixpath.normpath(folder) == "." else posixpath.normpath(folder)
    files = config.get("data_files")
    patterns = None if files is None else _patterns(f"{where}: data_files of subset {name}", folder, files)
    return Subset(name, is_default, folder, patterns)


def _patterns(where: str, folder: str, data_files: Any) -> tuple[FilePattern, ...]:
    """The patterns of one subset's `data_files`; paths without a split are of `train`."""
    entries = data_files if isinstance(data_files, list) else [data_files]
    if all(isinstance(entry, str) for entry in entries):
        by_split = [("train", entries)]
    elif all(isinstance(entry, Mapping) and entry.keys() == {"split", "path"} for entry in entries):
        by_split = [(entry["split"], entry["path"]) for entry in entries]
    elif isinstance(data_files, Mapping):
        by_split = list(data_files.items())
    else:
        by_split = []
    paths = [
        (split, path) for split, some in by_split for path in (some if isinstance(some, list) else [some])
    ]
    if not paths or not all(_is_pattern(path) for _, path in paths):
        raise DataError(f"{where} in {CARD} is {data_files!r:.200}; {_FORMS}")
    return tuple(
        FilePattern(str(split), posixpath.normpath(posixpath.join(folder, path))) for split, path in paths
    )


def _is_pattern(path: Any) -> bool:
    """Whether it is a path within the repository, and `**` is nowhere a part of a name."""
    if not isinstance(path, str) or not path or "://" in path or path.startswith("/"):
        return False
    return all(part == "**" or "**" not in part for part in path.split("/"))
