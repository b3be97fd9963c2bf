"""The contract between the calibration and whoever attempts the repair."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ToolResult:
    """One tool call of an agent and what it got back."""

    tool: str
    arguments: dict[str, str]
    output: str


@dataclass(frozen=True)
class Turn:
    """One reply of an agent, and the tool calls that were read from it, in order."""

    reply: str
    calls: tuple[ToolResult, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """Attempt `number` of a calibration, in a workspace of its own with the task set up."""

    number: int
    workspace: Path


@dataclass(frozen=True)
class Transcript:
    """What a solver did: a short label, and its turns where it takes turns."""

    label: str
    turns: tuple[Turn, ...] = ()


class Solver(Protocol):
    """Edits workspaces; `name` and `model` stand beside every figure that comes of it.

    What it does in an attempt depends on the attempt's number and its own seed, not on those beside it.
    """

    name: str
    model: str

    def solve(self, attempts: Sequence[Attempt]) -> list[Transcript]:
        """Edit the workspace of each attempt; its transcript, in order."""
