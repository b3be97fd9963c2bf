"""The files of a method's runs: rewards and scores as tables, and the statistics of every epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rlvr.advantage_study.problem import ProblemRun
from rlvr.errors import UserError
from rlvr.files import atomic_path, write_csv

REWARD_COLUMNS = ("seed", "epoch", "reward")
SCORE_COLUMNS = ("seed", "score")


@dataclass(frozen=True)
class MethodFiles:
    """Paths: `rewards` (CSV: seed, epoch from 1, mean reward), `scores` (CSV: seed, score), `statistics`."""

    rewards: str | Path
    scores: str | Path
    statistics: str | Path

    @classmethod
    def in_folder(cls, folder: str | Path) -> Self:
        """rewards.csv, scores.csv and statistics.npz of a folder."""
        folder = Path(folder)
        return cls(folder / "rewards.csv", folder / "scores.csv", folder / "statistics.npz")


@dataclass(frozen=True)
class Statistics:
    """What `statistics.npz` holds of S seeds, E epochs and P prompts; one array a field, by its name.

    seed (S,) int64; epoch (E,) int64 from 1; prompt (S, P) str, in the order in which a seed first drew them.
    mean, std (S, E, P) float32 and count (S, E, P) int32: the tracker's numbers after each epoch, NaN and 0
    for a prompt not drawn so far. Of the batch tracker P = 1 and the prompt "" is the epoch's whole batch.
    """

    seed: NDArray[np.int64]
    prompt: NDArray[np.str_]
    epoch: NDArray[np.int64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    count: NDArray[np.int32]


def write_runs(files: MethodFiles, runs: Sequence[ProblemRun]) -> None:
    """Write the three files of runs with equal numbers of epochs and prompts."""
    write_csv(
        files.rewards,
        REWARD_COLUMNS,
        (
            {"seed": run.seed, "epoch": epoch, "reward": reward}
            for run in runs
            for epoch, reward in enumerate(run.rewards.tolist(), start=1)
        ),
    )
    write_csv(files.scores, SCORE_COLUMNS, ({"seed": run.seed, "score": run.score} for run in runs))
    # Not compressed: that takes almost as long as a run, for two fifths of the bytes.
    with atomic_path(files.statistics) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **vars(_statistics(runs)))


def _statistics(runs: Sequence[ProblemRun]) -> Statistics:
    return Statistics(
        seed=np.array([run.seed for run in runs], dtype=np.int64),
        prompt=np.array([run.history.prompts for run in runs], dtype=np.str_),
        epoch=np.arange(1, len(runs[0].rewards) + 1, dtype=np.int64),
        mean=np.stack([run.history.mean for run in runs]),
        std=np.stack([run.history.std for run in runs]),
        count=np.stack([run.history.count for run in runs]),
    )


def read_statistics(path: str | Path) -> Statistics:
    """Read a `statistics.npz`; UserError if it lacks an array."""
    with np.load(path, allow_pickle=False) as arrays:
        missing = sorted(set(Statistics.__dataclass_fields__) - set(arrays.files))
        if missing:
            raise UserError(f"{path}: no array {', '.join(missing)}; it has {', '.join(arrays.files)}")
        return Statistics(**{name: arrays[name] for name in Statistics.__dataclass_fields__})
