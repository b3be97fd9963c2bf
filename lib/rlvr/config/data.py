"""Section `data`: the training set and the evaluation tasks."""

from dataclasses import dataclass

from rlvr.config.sources import RowSource, Source


@dataclass(frozen=True)
class HoldoutConfig:
    """A seeded part of the training sources that becomes an evaluation task and is never trained on."""

    task: str
    rows: int
    seed: int


@dataclass(frozen=True)
class TrainDataConfig:
    """The RL training set: `task` names it, `template` is applied at use."""

    task: str
    template: str
    verifier: str
    sources: tuple[RowSource, ...]
    holdout: HoldoutConfig | None = None


@dataclass(frozen=True)
class EvaluationDataConfig:
    """One evaluation task: where its rows come from, how they are prompted and who judges the answers."""

    source: Source
    template: str
    verifier: str


@dataclass(frozen=True)
class DataConfig:
    """The whole section."""

    train: TrainDataConfig
    evaluation: dict[str, EvaluationDataConfig]
