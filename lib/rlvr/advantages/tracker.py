"""What all trackers of reward statistics share: interface, reading of a batch, arithmetic."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Prompts = Sequence[Hashable] | NDArray[Any]  # one for each reward
IntArray = NDArray[np.intp]


class PromptStats(TypedDict):
    """A tidy row: mean and population standard deviation of a prompt's rewards, and of how many.

    `prompt` is None in the one row of `BatchStats`.
    """

    prompt: Hashable
    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class StatsArrays:
    """Columns of the tidy rows, prompts in the order of first appearance: `mean`, `std`, `count` (P,)."""

    prompts: list[Hashable]
    mean: FloatArray
    std: FloatArray
    count: IntArray

    def rows(self) -> list[PromptStats]:
        """The same as a list of rows of plain Python numbers."""
        columns = (column.tolist() for column in (self.mean, self.std, self.count))
        return [
            PromptStats(prompt=prompt, mean=mean, std=std, count=count)
            for prompt, mean, std, count in zip(self.prompts, *columns, strict=True)
        ]


class AdvantageTracker(Protocol):
    """Turns the rewards of a batch into advantages, and remembers what it needs for the next."""

    def update(self, prompts: Prompts, rewards: ArrayLike) -> FloatArray:
        """Advantages (B,) of the samples of a batch, in their order.

        `prompts` (B,), any hashable values, and `rewards` (B,) may be lists, arrays or tensors of any device.
        Raises ValueError, and remembers nothing of the batch, if it is empty, if the two differ in length, or
        if a reward is not finite.
        """

    def stats(self) -> list[PromptStats]:
        """A row for every prompt seen so far, in the order of first appearance."""

    def stats_arrays(self) -> StatsArrays:
        """The numbers of `stats` as new arrays: much cheaper where they are wanted often."""

    def state_dict(self) -> dict[str, Any]:
        """A snapshot of plain Python values, with which another tracker of equal settings goes on exactly."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace everything remembered by a snapshot; ValueError if it is one of other settings."""


def read_batch(prompts: Prompts, rewards: ArrayLike) -> tuple[list[Hashable], FloatArray]:
    """Prompts as a list and rewards as float64 (B,), checked as `AdvantageTracker.update` says."""
    if isinstance(prompts, str):
        raise ValueError("prompts is one string; it must be a sequence with a prompt for each reward")
    names = list(plain(prompts))
    values = np.asarray(rewards if isinstance(rewards, np.ndarray) else plain(rewards), dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"rewards must have one dimension; theirs have the shape {values.shape}")
    if len(names) != len(values):
        raise ValueError(f"{len(names)} prompts but {len(values)} rewards; each reward needs its prompt")
    if not len(values):
        raise ValueError("the batch is empty: it has no prompts and no rewards")
    finite = np.isfinite(values)
    if not finite.all():
        index = int(np.argmin(finite))
        raise ValueError(f"reward {index} (prompt {names[index]!r}) is {values[index]}, not a finite number")
    return names, values


def plain(values: Any) -> Any:
    """Arrays and tensors, of any dtype and device, and lists of their scalars as Python values.

    By `tolist`, so without importing torch. Scalars too, because a tensor's hash is that of the object, so
    that equal ones would count as different prompts.
    """
    if hasattr(values, "tolist"):
        return values.tolist()
    if isinstance(values, list | tuple) and values and hasattr(values[0], "tolist"):
        return [plain(value) for value in values]
    return values


class PromptNumbers(dict[Hashable, int]):
    """Numbers 0, 1, 2 … of prompts in the order of their first appearance."""

    def __missing__(self, prompt: Hashable) -> int:
        number = self[prompt] = len(self)
        return number

    def of(self, prompts: Prompts) -> IntArray:
        """The number of each prompt, new ones added; ValueError, and none added, for one without a hash."""
        known = len(self)
        try:
            return np.fromiter(map(self.__getitem__, prompts), dtype=np.intp, count=len(prompts))
        except TypeError as error:
            for prompt in list(self)[known:]:
                del self[prompt]
            raise ValueError(f"prompts must be hashable, such as strings or numbers: {error}") from error


@dataclass(frozen=True)
class Occurrences:
    """The B samples of a batch brought together by their P different prompts, in input order within each.

    order: indices (B,) of the samples; rank (B,), in that order: how many of the same prompt come before.
    numbers, starts, counts (P,): of each prompt its number, its first place in `order` and its samples.
    row (B,), in input order: where a sample's prompt stands in `numbers`.
    """

    order: IntArray
    rank: IntArray
    numbers: IntArray
    starts: IntArray
    counts: IntArray
    row: IntArray

    @classmethod
    def of(cls, prompt_numbers: IntArray) -> Self:
        """From the prompt number of each sample."""
        order = np.argsort(prompt_numbers, kind="stable")
        together = prompt_numbers[order]
        # Slices, since np.diff is slow on the few numbers of a small batch.
        first = np.ones(len(order), dtype=bool)
        first[1:] = together[1:] != together[:-1]
        starts = first.nonzero()[0]
        counts = np.append(starts[1:], len(order)) - starts
        place = first.cumsum()
        place -= 1
        rank = np.arange(len(order))
        rank -= starts[place]
        row = np.empty_like(order)
        row[order] = place
        return cls(order, rank, together[starts], starts, counts, row)


def mean_and_std(values: FloatArray) -> tuple[float, float]:
    """Mean and population standard deviation; exact for equal values, whose mean may not round otherwise."""
    centred = values - values[0]
    mean = centred.sum() / len(centred)
    centred -= mean
    return float(values[0] + mean), float(np.sqrt((centred * centred).sum() / len(centred)))


def normalise(
    rewards: FloatArray, mean: FloatArray | float, std: FloatArray | float, eps: float
) -> FloatArray:
    """(rewards − mean) / (std + eps); 0 where the denominator is."""
    scale = np.asarray(std) + eps
    if (scale > 0).all():
        return (rewards - mean) / scale
    return np.divide(rewards - mean, scale, out=np.zeros_like(rewards), where=scale > 0)


def tracked_or_batch(
    rewards: FloatArray,
    batch: Occurrences,
    mean: FloatArray,
    std: FloatArray,
    known: NDArray[np.bool_],
    eps: float,
) -> FloatArray:
    """Advantages by the statistics (P,) of a sample's prompt where these are `known`, else by the batch's."""
    batch_mean, batch_std = mean_and_std(rewards)
    return normalise(
        rewards,
        np.where(known, mean, batch_mean)[batch.row],
        np.where(known, std, batch_std)[batch.row],
        eps,
    )


def grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The array itself if it has that many rows, else a copy with at least twice its own, new ones zero."""
    if rows <= len(array):
        return array
    larger = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def require(holds: bool, setting: str, value: Any, allowed: str) -> None:
    """ValueError that names a setting, its value and what is allowed, unless it holds."""
    if not holds:
        raise ValueError(f"{setting} is {value}; allowed: {allowed}")


def check_settings(state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """ValueError if a snapshot's settings are not those of the tracker that is to load it."""
    saved = state.get("settings")
    if saved != dict(settings):
        raise ValueError(f"the state is of a tracker with {saved}; this one has {dict(settings)}")


class PromptTracker(ABC):
    """What trackers of single prompts share: the prompts' numbers, and how many rewards each has had."""

    def __init__(self, min_count: int, eps: float):
        require(0 <= eps < float("inf"), "eps", eps, "a finite number, not negative")
        self.min_count, self.eps = min_count, eps
        self._numbers = PromptNumbers()
        self._seen = np.zeros(0, dtype=np.intp)

    def tracked(self, prompts: Prompts) -> NDArray[np.bool_]:
        """Whether each prompt (B,) has had the `min_count` rewards that its own statistics need."""
        numbers, seen = self._numbers, self._seen
        enough = [name in numbers and seen[numbers[name]] >= self.min_count for name in plain(prompts)]
        return np.array(enough, dtype=np.bool_)

    @abstractmethod
    def stats_arrays(self) -> StatsArrays:
        """See `AdvantageTracker.stats_arrays`."""

    def stats(self) -> list[PromptStats]:
        """See `AdvantageTracker.stats`."""
        return self.stats_arrays().rows()
