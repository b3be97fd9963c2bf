"""Which files of a hub repository hold the rows of one subset and split.

The data set's card (README.md) says so in its `configs`; where it does not, names of files and folders do.
https://huggingface.co/docs/hub/datasets-data-files-configuration
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import yaml

from rlvr.data.rows import DataError

CARD = "README.md"
FORMATS = (".parquet", ".jsonl", ".jsonl.gz")
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_SHARD = re.compile(r"(.*)-[0-9]{5}-of-([0-9]{5})(.*)")
_SPLIT_NAME = re.compile(r"(?:train|test|validation|valid|val|dev)(?:[-_.]|\Z)")


def split_files(where: str, names: Sequence[str], card: str, subset: str, split: str) -> list[str]:
    """The files of `subset` ("" for the only or default one) and `split` among `names`, sorted.

    `card`: the text of README.md, or "". No such files, or a subset that has to be named: DataError, which
    begins with `where`.
    """
    data = sorted(name for name in names if name.endswith(FORMATS))
    configs = _configs(where, card)
    found = _by_card(where, data, configs, subset, split) if configs else _by_name(data, subset, split)
    if not found:
        said = f"the card's subsets are {', '.join(configs)}; " if configs else ""
        raise DataError(
            f"{where}: no file of subset {subset or '(default)'} and split {split} in the formats "
            f"{', '.join(FORMATS)}; {said}the data files are {_some(data)}"
        )
    _check_shards(where, found)
    return found


def _check_shards(where: str, files: Sequence[str]) -> None:
    """A file `...-00000-of-00003...` must have its two siblings: a cache may be the copy of half of one."""
    for file in files:
        numbered = _SHARD.fullmatch(file)
        if numbered:
            start, count, end = numbered.groups()
            shards = [f"{start}-{number:05d}-of-{count}{end}" for number in range(int(count))]
            if absent := [shard for shard in shards if shard not in files]:
                raise DataError(f"{where}: {file} is there without {', '.join(absent)}; fetch them again")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "none") + more


def _configs(where: str, card: str) -> dict[str, Mapping[str, Any]]:
    """The card's configs that list data files, by name."""
    matter = _FRONT_MATTER.match(card)
    try:
        fields = yaml.safe_load(matter[1]) if matter else {}
    except yaml.YAMLError as error:
        raise DataError(f"{where}: the head of {CARD} is not valid YAML: {error}") from error
    configs = fields.get("configs") if isinstance(fields, Mapping) else None
    return {
        str(config["config_name"]): config
        for config in configs or ()
        if isinstance(config, Mapping) and "config_name" in config and "data_files" in config
    }


def _by_card(
    where: str, data: Sequence[str], configs: Mapping[str, Mapping[str, Any]], subset: str, split: str
) -> list[str]:
    if not subset:
        marked = [name for name, config in configs.items() if config.get("default") or name == "default"]
        choices = marked or list(configs)
        if len(choices) > 1:
            raise DataError(f"{where} has several subsets; name them in `subsets`: {', '.join(choices)}")
        subset = choices[0]
    if subset not in configs:
        raise DataError(f"{where} has no subset {subset}; allowed: {', '.join(configs)}")
    patterns = [pattern for name, pattern in _patterns(configs[subset]["data_files"]) if name == split]
    return [name for name in data if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _patterns(data_files: Any) -> Iterator[tuple[str, str]]:
    """Split and file pattern of a config's `data_files`; those without a split are of `train`."""
    for entry in data_files if isinstance(data_files, list) else [data_files]:
        split, paths = (entry["split"], entry["path"]) if isinstance(entry, Mapping) else ("train", entry)
        for path in paths if isinstance(paths, list) else [paths]:
            yield split, path.removeprefix("./").replace("**/", "*")


def _by_name(data: Sequence[str], subset: str, split: str) -> list[str]:
    """Files in the subset's folder (or at the top, or in `data`) whose names begin with the split's.

    Where no name in the folder begins with that of a split, all of them are of `train`.
    """
    for folder in (f"{subset}/", f"data/{subset}/") if subset else ("", "data/"):
        names = [name.removeprefix(folder) for name in data if name.startswith(folder)]
        names = [name for name in names if "/" not in name]
        found = [name for name in names if re.match(rf"{re.escape(split)}(?:[-_.]|\Z)", name)]
        if not found and split == "train" and not any(map(_SPLIT_NAME.match, names)):
            found = names
        if found:
            return [folder + name for name in found]
    return []
