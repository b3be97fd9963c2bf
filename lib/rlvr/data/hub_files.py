"""Which files of a hub repository hold the rows of one subset and split.

The data set's card says so in its `configs`; where it does not, names of files and folders do.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from rlvr.data.hub_card import Subset, read_card
from rlvr.data.rows import DataError

FORMATS = (".parquet", ".jsonl", ".jsonl.gz")
_SPLIT_NAME = re.compile(r"(?:train|test|validation|valid|val|dev)(?:[-_.]|\Z)")


def split_files(where: str, names: Sequence[str], card: str, subset: str, split: str) -> list[str]:
    """The files of `subset` ("" for the only or default one) and `split` among `names`, sorted.

    `card`: the text of README.md, or "". No such files, or a subset that has to be named: DataError, which
    begins with `where`.
    """
    data = sorted(name for name in names if name.endswith(FORMATS))
    subsets = read_card(where, card)
    chosen = _chosen(where, subsets, subset) if subsets else None
    if chosen:
        found = _of_subset(where, data, chosen, split)
    else:
        found = _by_name(data, (f"{subset}/", f"data/{subset}/") if subset else ("", "data/"), split)
    if not found:
        said = _said(subsets, chosen) if chosen else ""
        raise DataError(
            f"{where}: no file of subset {subset or '(default)'} and split {split} in the formats "
            f"{', '.join(FORMATS)}; {said}the data files are {_some(data)}"
        )
    return found


def _said(subsets: Mapping[str, Subset], chosen: Subset) -> str:
    splits = dict.fromkeys(pattern.split for pattern in chosen.patterns or ())
    of_it = f", and {chosen.name} has the splits {', '.join(splits)}" if splits else ""
    return f"the card's subsets are {', '.join(subsets)}{of_it}; "


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "none") + more


def _chosen(where: str, subsets: Mapping[str, Subset], name: str) -> Subset:
    if name:
        if name not in subsets:
            raise DataError(f"{where} has no subset {name}; allowed: {', '.join(subsets)}")
        return subsets[name]
    defaults = [subset for subset in subsets.values() if subset.is_default]
    choices = defaults or list(subsets.values())
    if len(choices) > 1:
        names = ", ".join(subset.name for subset in choices)
        raise DataError(f"{where} has several subsets; name them in `subsets`: {names}")
    return choices[0]


def _of_subset(where: str, data: Sequence[str], subset: Subset, split: str) -> list[str]:
    """The files that the card gives to a split; DataError where one of its patterns finds none."""
    if subset.patterns is None:
        top = f"{subset.folder}/" if subset.folder else ""
        return _by_name(data, (top, f"{top}data/"), split)
    found: set[str] = set()
    for pattern in subset.patterns:
        if pattern.split == split:
            matching = [name for name in data if _matches(name.split("/"), pattern.path.split("/"))]
            if not matching:
                raise DataError(
                    f"{where}: the card gives subset {subset.name} and split {split} {pattern.path}, but no "
                    f"file in the formats {', '.join(FORMATS)} is called so; the data files are {_some(data)}"
                )
            found.update(matching)
    return sorted(found)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern, both in parts: `**` is any number of folders, `*` stays within a name.

    As in the hub's own loader, a hidden file or folder (`.name`, or `__name` for a folder) is only found by a
    pattern that says so.
    """
    if not pattern or not parts:
        return not pattern and not parts
    hidden = [_hidden_mark(part, is_folder=number < len(parts)) for number, part in enumerate(parts, start=1)]
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(_matches(parts[n:], rest) for n in range(len(parts) + 1) if not any(hidden[:n]))
    return fnmatchcase(parts[0], head) and head.startswith(hidden[0]) and _matches(parts[1:], rest)


def _hidden_mark(part: str, is_folder: bool) -> str:
    """The letters that hide a file or folder, or ""."""
    if part.startswith("."):
        return "."
    return "__" if is_folder and part.startswith("__") else ""


def _by_name(data: Sequence[str], folders: Sequence[str], split: str) -> list[str]:
    """Files in the first of the folders that has some whose names begin with the split's.

    Where no name in a folder begins with that of a split, all of them are of `train`.
    """
    for folder in folders:
        names = [name.removeprefix(folder) for name in data if name.startswith(folder)]
        names = [name for name in names if "/" not in name]
        found = [name for name in names if re.match(rf"{re.escape(split)}(?:[-_.]|\Z)", name)]
        if not found and split == "train" and not any(map(_SPLIT_NAME.match, names)):
            found = names
        if found:
            return [folder + name for name in found]
    return []
