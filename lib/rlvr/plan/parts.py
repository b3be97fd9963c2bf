"""The parts of a job's memory, the phases that they are there in, and what they come to on each GPU."""

from dataclasses import dataclass
from typing import Literal, TypeVar

# `divided` among the GPUs of a job; `whole` on each; `gathered`: there only where others hold the rest.
Place = Literal["divided", "whole", "gathered"]


@dataclass(frozen=True)
class Part:
    """Bytes of one thing in one or more phases of a job."""

    name: str
    size: int
    phases: tuple[str, ...]
    place: Place = "whole"

    def on_each_of(self, gpus: int) -> float:
        """Bytes on one of so many GPUs."""
        if self.place == "divided":
            return self.size / gpus
        return self.size if self.place == "whole" or gpus > 1 else 0


@dataclass(frozen=True)
class JobMemory:
    """All parts of a job, and its phases in their order."""

    parts: tuple[Part, ...]
    phases: tuple[str, ...]

    def of(self, name: str, phase: str, gpus: int = 1) -> float:
        """Bytes of a part on each GPU in a phase."""
        return sum(part.on_each_of(gpus) for part in self.parts if part.name == name and phase in part.phases)

    def largest(self, name: str) -> int:
        """Bytes of a part on one device, in the phase that has most of it; 0 if the job has none."""
        return round(max(self.of(name, phase) for phase in self.phases))

    def is_divided(self, name: str) -> bool:
        """Whether GPUs share any of a part."""
        return any(part.place == "divided" for part in self.parts if part.name == name)

    def in_phase(self, phase: str, gpus: int = 1) -> float:
        """Bytes on each GPU in a phase."""
        return sum(part.on_each_of(gpus) for part in self.parts if phase in part.phases)

    def peak_phase(self, gpus: int = 1) -> str:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: self.in_phase(phase, gpus))

    def peak(self, gpus: int = 1) -> float:
        """The most bytes on each GPU."""
        return self.in_phase(self.peak_phase(gpus), gpus)

    def largest_parts(self, phase: str, gpus: int, count: int) -> list[tuple[str, float]]:
        """The parts of a phase that take most of each GPU, with their bytes there, the largest first."""
        names = dict.fromkeys(part.name for part in self.parts if phase in part.phases)
        sizes = sorted(((name, self.of(name, phase, gpus)) for name in names), key=lambda one: -one[1])
        return [(name, size) for name, size in sizes[:count] if size]


Moment = TypeVar("Moment", bound=tuple[int, ...])


def worst_moment(*moments: Moment) -> Moment:
    """Of moments that follow each other, each the bytes of some parts, the one that needs most."""
    return max(moments, key=sum)
