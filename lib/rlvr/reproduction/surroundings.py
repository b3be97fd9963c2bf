"""What results were computed with, and how that differs from here or from other results."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from rlvr.errors import UserError
from rlvr.provenance import environment
from rlvr.reproduction.recorded import read_record, record_files
from rlvr.sources import PACKAGE, code_digest

ADAPTOR = PACKAGE.parents[1] / "workflow_scripts/train_policy.py"
KEYS = ("python", "platform", "machine", "device", "git_commit")

Surroundings = dict[str, str]


def recorded_surroundings(results: Path) -> list[Surroundings]:
    """Of every training, arm and evaluation of a folder of results whose record can be read."""
    found = []
    for file in record_files(results):
        if file.name != "manifest.json":
            with suppress(UserError):  # `check_integrity` reports it
                record = read_record(file)
                found.append(_flat(record.get("provenance", record)))
    return found


def run_surroundings(record: Mapping[str, Any]) -> Surroundings:
    """Of one training run, its code included."""
    return _flat(record) | {"code of train_policy": record["code_digest"]}


def present_surroundings(on_cpu: bool) -> Surroundings:
    """Of this process; the code's where the package is in a checkout. `on_cpu`: whatever GPUs there are."""
    device = "cpu" if on_cpu or not torch.cuda.is_available() else torch.cuda.get_device_name()
    here = _flat(environment() | {"device": device})
    return here | ({"code of train_policy": code_digest(ADAPTOR)} if ADAPTOR.is_file() else {})


def differences(
    recorded: Iterable[Surroundings], others: Iterable[Surroundings], where: str
) -> Iterator[str]:
    """In words, what is not the same in all of both: "torch: 2.12.0 recorded, 2.13.0 here" (`where`)."""
    ours, theirs = list(recorded), list(others)
    for key in dict.fromkeys(key for one in ours for key in one):
        found, other = _values(ours, key), _values(theirs, key)
        if other and found != other:
            yield f"{key}: {', '.join(found)} recorded, {', '.join(other)} {where}"


def _values(records: Iterable[Surroundings], key: str) -> list[str]:
    return sorted({record[key] for record in records if key in record})


def _flat(record: Mapping[str, Any]) -> Surroundings:
    return {key: record[key] for key in KEYS} | dict(record["packages"])
