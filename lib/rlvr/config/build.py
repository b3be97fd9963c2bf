"""Frozen dataclasses from the sections of a validated config."""

from functools import cache
from typing import Any, TypeVar

import cattrs

from rlvr.config.sources import SOURCE_KINDS, Source

Section = TypeVar("Section")


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(
        Source, lambda raw, _: converter.structure(raw, SOURCE_KINDS[raw["kind"]])
    )
    return converter


def build(cls: type[Section], mapping: Any) -> Section:
    """Build dataclass `cls` from a plain mapping; unknown or missing keys raise cattrs' group of errors.

    People's mistakes are answered earlier, by `rlvr.config.load`; an error here is a bug: the schema and
    the dataclass disagree (a test keeps them equal).
    """
    return _converter().structure(mapping, cls)
