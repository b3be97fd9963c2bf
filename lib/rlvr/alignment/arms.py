"""Arms and experiments: the settings that are trained, each once however many comparisons it is part of.

An arm is its method's default settings with some overridden, and is named after these. An experiment is a
list of arms, the first of which the others are compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METHODS = ("sft", "expert_iteration", "grpo")
DEFAULT = "default"

Overrides = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A comparison of arms of one method; `arms[0]` is the reference. `title` and `why` are for people."""

    method: str
    name: str
    title: str
    why: str
    arms: tuple[str, ...]


def arm_name(overrides: Overrides, defaults: Mapping[str, Any]) -> str:
    """`key=value` of each setting that differs from the default, joined by commas; `default` if none does."""
    differing = {key: value for key, value in overrides.items() if value != defaults[key]}
    return ",".join(f"{key}={_word(value)}" for key, value in sorted(differing.items())) or DEFAULT


def _word(value: Any) -> str:
    if value is None:
        return "all"
    return str(value).lower() if isinstance(value, bool) else str(value)


def experiments(method: str, section: Mapping[str, Any]) -> list[Experiment]:
    """The experiments of a method's config section (`settings`, `experiments`)."""
    return [
        Experiment(
            method,
            name,
            experiment["title"],
            experiment["why"],
            tuple(dict.fromkeys(arm_name(arm, section["settings"]) for arm in experiment["arms"])),
        )
        for name, experiment in section["experiments"].items()
    ]


def arms(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Full settings by arm name, of every arm of a method's experiments."""
    defaults: Mapping[str, Any] = section["settings"]
    every: Sequence[Overrides] = [arm for one in section["experiments"].values() for arm in one["arms"]]
    return {arm_name(arm, defaults): {**defaults, **arm} for arm in every}
