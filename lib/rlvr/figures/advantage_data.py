"""The numbers that the figures of the reference problem show, as tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rlvr.advantage_study.log import Statistics
from rlvr.advantage_study.methods import StudyMethod
from rlvr.figures.prompt_statistics import first_prompts, load_statistics

PROMPTS = 6  # whose statistics are drawn  # whose statistics are drawn


@dataclass(frozen=True)
class ReferenceFigureInputs:
    """Files that the figures are drawn from: of every method, in the order of `methods`."""

    methods: Sequence[StudyMethod]
    scores: Sequence[str | Path]
    rewards: Sequence[str | Path]
    statistics: Sequence[str | Path]
    confidence: float


def reward_data(inputs: ReferenceFigureInputs, names: Collection[str]) -> pd.DataFrame:
    """The mean reward of every epoch and seed of the methods of `names`."""
    tables = [
        pd.read_csv(path).assign(method=one.name)
        for one, path in zip(inputs.methods, inputs.rewards, strict=True)
        if one.name in names
    ]
    columns = ["method", "seed", "epoch", "reward"]
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def score_data(scores: pd.DataFrame, methods: pd.DataFrame, parts: Sequence[str]) -> pd.DataFrame:
    """The score of every seed beside its method's mean and interval."""
    means = methods.set_index("method")[["score_mean", "score_low", "score_high"]]
    return scores.loc[scores["part"].isin(parts), ["method", "part", "seed", "score"]].join(
        means, on="method"
    )


def sweep_runs(scores: pd.DataFrame) -> pd.DataFrame:
    """The finite scores of the sweep and of the buffer that it is compared with."""
    runs = scores[(scores["part"] == "sweep") | (scores["method"] == "buffer")]
    return runs[np.isfinite(runs["score"])].astype({"buffer_size": int, "min_count": int})


@dataclass(frozen=True)
class ShownStatistics:
    """Statistics by method with the place of the seed, and the prompts to show."""

    series: Mapping[str, tuple[Statistics, int]]
    prompts: Sequence[str]


def shown_statistics(inputs: ReferenceFigureInputs, methods: pd.DataFrame) -> ShownStatistics | None:
    """The first prompts of the first seed of the buffer and the best moving average; None without a seed."""
    averages = methods[(methods["part"] == "comparison") & (methods["tracker"] == "ema")]
    averages = averages.dropna(subset=["score_mean"])
    names = ["buffer"] if (methods["method"] == "buffer").any() else []
    if len(averages):
        names.append(str(averages["method"].iloc[averages["score_mean"].argmax()]))
    files = {one.name: path for one, path in zip(inputs.methods, inputs.statistics, strict=True)}
    loaded = {name: load_statistics(files[name]) for name in names}
    shared = set.intersection(*(set(one.seed.tolist()) for one in loaded.values())) if loaded else set()
    if not shared:
        return None
    seed = min(shared)
    series = {name: (one, one.seed.tolist().index(seed)) for name, one in loaded.items()}
    return ShownStatistics(series, first_prompts(*next(iter(series.values())), PROMPTS))


def statistics_data(shown: ShownStatistics | None) -> pd.DataFrame:
    """What each method held of the prompts shown: mean and standard deviation by epoch."""
    nothing = pd.DataFrame(columns=["method", "seed", "prompt", "epoch", "mean", "std"])
    if shown is None:
        return nothing
    parts = []
    for name, (statistics, place) in shown.series.items():
        for prompt in shown.prompts:
            for found in np.flatnonzero(statistics.prompt[place] == prompt):
                values = {"mean": statistics.mean[place, :, found], "std": statistics.std[place, :, found]}
                keys = {"method": name, "seed": statistics.seed[place], "prompt": prompt}
                parts.append(pd.DataFrame({**keys, "epoch": statistics.epoch, **values}))
    return pd.concat(parts or [nothing])
