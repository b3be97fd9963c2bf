"""The problem record that every stage reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlvr.files import read_jsonl


@dataclass(frozen=True)
class Problem:
    """A prompt with a verifiable answer.

    `prompt` is the bare question; prompt templates are applied at use, by name. `verifier` names the judge
    (`rlvr.verify.registry`). `metadata` holds what the verifier or a report may need (choices, strata).
    """

    id: str
    task: str
    prompt: str
    answer: str
    verifier: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_problems(path: str | Path) -> list[Problem]:
    """Read a problem file, as `rlvr.data.prepare` writes them."""
    return [Problem(**record) for record in read_jsonl(path)]
