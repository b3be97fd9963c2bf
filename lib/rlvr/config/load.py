"""From what a person wrote to a complete and sound config; the only reader of raw config mappings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rlvr.config.contradictions import HUB_ID, find_contradictions
from rlvr.config.schema import fill_defaults, find_problems, read_schema
from rlvr.errors import UserError

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
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    return validate_config(raw)


def check_data_files(config: Config) -> None:
    """Raise one ConfigError that names every local file or model of a valid config that is not there."""
    root = Path(config["data_root"])
    missing = [
        f"{key}.path: the file {root / section['path']} does not exist"
        for key, section in _file_sections(config)
        if not (root / section["path"]).is_file()
    ]
    missing += [
        f"{key}.path: the folder {policy['path']} does not exist, and it is no hub id"
        for key, policy in _policy_sections(config)
        if not Path(policy["path"]).is_dir() and not HUB_ID.fullmatch(policy["path"])
    ]
    if missing:
        where = f"data_root is {config['data_root'] or 'empty'} (from {Path.cwd()})"
        advice = "put the files there, or set data_root to the folder that has them"
        lines = "\n".join(f"  {line}" for line in missing)
        raise ConfigError(f"files are missing; {where}; {advice}:\n{lines}")


def _file_sections(config: Config) -> Iterator[tuple[str, Config]]:
    for number, source in enumerate(config["data"]["train"]["sources"]):
        if source["kind"] == "jsonl":
            yield f"data.train.sources.{number}", source
    for task, data in config["data"]["evaluation"].items():
        if data["source"]["kind"] == "jsonl":
            yield f"data.evaluation.{task}.source", data["source"]
    if config["base"].get("examples", {}).get("kind") == "jsonl":
        yield "base.examples", config["base"]["examples"]


def _policy_sections(config: Config) -> Iterator[tuple[str, Config]]:
    if config["base"]["kind"] == "pretrained":
        yield "base", config["base"]
    for number, policy in enumerate(config["precision"]["external_policies"]):
        yield f"precision.external_policies.{number}", policy
