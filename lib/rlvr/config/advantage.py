"""Section `advantage`: the reference problem of per-prompt reward statistics, and their use in GRPO."""

from dataclasses import dataclass

from rlvr.config.sources import RowSource


@dataclass(frozen=True)
class ProblemConfig:
    """The reference problem: `prompts` prompts, `draws` of them with replacement in each of `epochs` epochs.

    Labels are whole numbers below `labels`; parameters live in `slots` slots and begin between 0 and
    `labels`; the standard deviation of a prompt's samples lies between 0 and `largest_scale`. A run's score
    is its mean reward over the last `score_epochs` epochs.
    """

    prompts: int
    draws: int
    epochs: int
    slots: int
    labels: int
    largest_scale: float
    score_epochs: int


@dataclass(frozen=True)
class TrackerConfig:
    """The settings of the trackers where nothing else is said; see `rlvr.advantages`."""

    buffer_size: int
    min_count: int
    decay: float
    eps: float


@dataclass(frozen=True)
class SweepConfig:
    """Every buffer size with every least count that it can hold, on seeds 1 to `seeds`."""

    seeds: int
    buffer_sizes: tuple[int, ...]
    min_counts: tuple[int, ...]


@dataclass(frozen=True)
class ReferenceConfig:
    """The reference problem, the trackers that are compared on it (seeds 1 to `seeds`), and the sweep.

    `decays`: of the EMA trackers. `confidence`: level of the intervals.
    """

    seeds: int
    problem: ProblemConfig
    tracker: TrackerConfig
    decays: tuple[float, ...]
    sweep: SweepConfig
    confidence: float


@dataclass(frozen=True)
class EstimatorDataConfig:
    """Training takes `questions` of its source, by a seeded choice: few, so that each comes again."""

    train: RowSource
    validation: RowSource
    questions: int
    seed: int


@dataclass(frozen=True)
class EstimatorSettings:
    """The training that every estimator of the advantage gets; on policy, one update a step.

    `buffer_size`, `min_count`, `decay`: of the trackers, see `rlvr.advantages`; `eps` of all estimators.
    """

    steps: int
    prompts_per_step: int
    group_size: int
    learning_rate: float
    eps: float
    buffer_size: int
    min_count: int
    decay: float
    checkpoint_every_steps: int


@dataclass(frozen=True)
class EstimatorComparisonConfig:
    """How the estimators are compared, fixed before data.

    A run's training reward is its mean over the last `score_steps` steps. A run has diverged if its final
    accuracy is below `collapse_share` of the start's.
    """

    score_steps: int
    collapse_share: float
