"""The files of a policy folder: a config, and one safetensors file, or shards with Hugging Face's index."""

from pathlib import Path

from rlvr.errors import UserError
from rlvr.files import read_json

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"


def missing_weight_files(folder: Path) -> list[str]:
    """Names of the files that the folder should have and has not."""
    return [name for name in _names(folder) if not (folder / name).is_file()]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a policy folder; UserError names those that are missing."""
    if missing := missing_weight_files(folder):
        raise UserError(
            f"{folder}: no weights {', '.join(missing)}; a policy folder holds {SINGLE_FILE}, or shards with "
            f"{SHARD_INDEX} (weights in pytorch_model.bin must be converted to safetensors first)"
        )
    return [folder / name for name in _names(folder)]


def _names(folder: Path) -> list[str]:
    if (folder / SHARD_INDEX).is_file():
        return sorted(set(read_json(folder / SHARD_INDEX)["weight_map"].values()))
    return [SINGLE_FILE]
