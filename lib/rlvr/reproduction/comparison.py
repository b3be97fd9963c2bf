"""The verdict on two results that should be the same, and where they part."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """From equal to different, so that the verdict on several things is the largest of theirs."""

    IDENTICAL = 0
    EQUAL = 1
    DIFFERENT = 2

    @property
    def words(self) -> str:
        """As a person reads it."""
        return ("bit-identical", "equal within rounding", "different")[self]


@dataclass(frozen=True)
class Parting:
    """A place at which two results are not the same; `step` of training, where the place belongs to one."""

    what: str
    step: int | None = None

    def __str__(self) -> str:
        return self.what if self.step is None else f"step {self.step}, {self.what}"


@dataclass(frozen=True)
class Comparison:
    """Of one file or policy: where it first differs in any bit, and where it first does beyond rounding."""

    name: str
    first: Parting | None = None
    beyond: Parting | None = None

    @property
    def verdict(self) -> Verdict:
        """Of the whole file or policy."""
        if self.beyond is not None:
            return Verdict.DIFFERENT
        return Verdict.IDENTICAL if self.first is None else Verdict.EQUAL


def overall(comparisons: Iterable[Comparison]) -> Verdict:
    """The worst verdict; of no comparison at all, DIFFERENT: nothing was shown to be equal."""
    return max((one.verdict for one in comparisons), default=Verdict.DIFFERENT)


def first_parting(comparisons: Iterable[Comparison]) -> tuple[str, Parting] | None:
    """File and place of the earliest difference: by training step, and within a step in the given order."""
    found = [(one.name, one.first) for one in comparisons if one.first is not None]
    last = float("inf")
    return min(found, key=lambda place: last if place[1].step is None else place[1].step, default=None)
