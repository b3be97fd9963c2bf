"""From what a person wrote to a complete and sound config; the only reader of raw config mappings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from rlvr.config.contradictions import find_contradictions
from rlvr.config.places import data_sources, policies
from rlvr.config.schema import YAML_LOADER, fill_defaults, find_problems, read_schema
from rlvr.errors import UserError
from rlvr.hub import HUB_ID
from rlvr.models.weight_files import CONFIG_FILE, missing_weight_files

Config = dict[str, Any]


class ConfigError(UserError):
    """A config that is not sound; the message has a line for each problem."""


def validate_config(raw: Any) -> Config:
    """The config with all defaults filled in, as a new mapping.

    Raises ConfigError that lists every problem as `key.path: what is wrong; allowed: ...`. Checks between
    keys are made once each key is sound by itself.
    """
    config = fill_defaults({} if raw is None else raw, read_schema())
    problems = find_problems(config) or list(find_contradictions(config))
    if problems:
        raise ConfigError("the config is not valid:\n" + "\n".join(f"  {line}" for line in problems))
    return config


def load_config(path: str | Path) -> Config:
    """Read a YAML config file and validate it; a missing file or broken YAML is a ConfigError too."""
    check_repeated_keys(path)
    return validate_config(yaml.load(Path(path).read_text(encoding="utf-8"), Loader=YAML_LOADER))


def check_repeated_keys(path: str | Path) -> None:
    """Raise a ConfigError if a section of a config file has a key twice; YAML would keep the last one."""
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=YAML_LOADER)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    lines = [f"{path}:{line}: {key} stands there again; allowed: once" for key, line in _repeated_keys(root)]
    if lines:
        raise ConfigError("the config is not valid:\n" + "\n".join(f"  {line}" for line in lines))


def _repeated_keys(node: yaml.Node | None, path: Sequence[str] = ()) -> Iterator[tuple[str, int]]:
    """The path of every key that its section has already, and its line from 1."""
    if isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            yield from _repeated_keys(entry, [*path, str(number)])
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        here = [*path, str(key.value)]
        if key.value in seen:
            yield ".".join(here), key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode):
            seen.add(key.value)
        yield from _repeated_keys(value, here)


def check_data_files(config: Config) -> None:
    """Raise one ConfigError that names every local file or model of a valid config that is not there.

    What is on the hub is not looked for: a job whose files have not been fetched says so.
    """
    root = Path(config["data_root"])
    missing = [
        f"{key}.path: the file {root / source['path']} does not exist"
        for key, source in data_sources(config)
        if "path" in source and not (root / source["path"]).is_file()
    ]
    missing += [f"{key}: {wrong}" for key, path, _ in policies(config) if (wrong := _lacking(path))]
    if missing:
        where = f"data_root is {config['data_root'] or 'empty'} (from {Path.cwd()})"
        advice = "put the files there, or set data_root to the folder that has them"
        lines = "\n".join(f"  {line}" for line in missing)
        raise ConfigError(f"files are missing; {where}; {advice}:\n{lines}")


def _lacking(policy: str) -> str:
    """What is missing of a local policy; empty for one that is whole, or on the hub."""
    folder = Path(policy)
    if not folder.is_dir():
        return "" if HUB_ID.fullmatch(policy) else f"the folder {policy} does not exist, and it is no hub id"
    needed = [CONFIG_FILE, *missing_weight_files(folder)]
    missing = [name for name in needed if not (folder / name).is_file()]
    return f"the folder {policy} has no {', '.join(missing)}" if missing else ""
