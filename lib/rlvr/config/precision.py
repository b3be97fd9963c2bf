"""Section `precision`: the training, evaluation and analysis of the precision study."""

from dataclasses import dataclass
from typing import Literal

from rlvr.config.rollout import RolloutConfig


@dataclass(frozen=True)
class SamplingConfig:
    """How training rollouts are drawn; stop strings are kept at the end, special tokens excepted."""

    temperature: float
    top_p: float
    max_tokens: int
    min_tokens: int
    stop: tuple[str, ...]
    max_batch_rows: int


@dataclass(frozen=True)
class RewardConfig:
    """Reward of a correct and of an incorrect response, before overlong shaping."""

    correct: float
    incorrect: float


@dataclass(frozen=True)
class AdvantageConfig:
    """From rewards to advantages; see `rlvr.training.advantage`.

    `estimator`: whose mean and standard deviation normalise a reward; `none`: the reward itself.
    `normalize_by_std`: false for group without the division. `buffer_size` (of per_prompt_buffer), `decay`
    (of per_prompt_ema) and `min_count` (of both): see `rlvr.advantages`.
    """

    estimator: Literal["group", "batch", "per_prompt_buffer", "per_prompt_ema", "none"]
    normalize_by_std: bool
    eps: float
    buffer_size: int
    min_count: int
    decay: float


@dataclass(frozen=True)
class LossConfig:
    """The policy-gradient objective and how token losses become one number.

    `aggregation`: `token_mean` (DAPO), `sequence_mean` (GRPO), or `constant` (Dr. GRPO: the sum over the
    sequence divided by `normalize_constant`, then the mean over sequences).
    `sequence_clip_low` and `_high` clip the ratio of a whole response (modes with `policy_ratio` sequence).
    """

    type: Literal["no_baseline", "reinforce_with_baseline", "grpo_clip", "grpo_no_clip"]
    clip_low: float
    clip_high: float
    sequence_clip_low: float
    sequence_clip_high: float
    aggregation: Literal["token_mean", "sequence_mean", "constant"]
    normalize_constant: float
    kl_beta: float


@dataclass(frozen=True)
class DynamicSamplingConfig:
    """Drop groups that are all right or all wrong; refill the batch in at most `max_rounds` more rounds."""

    enabled: bool
    max_rounds: int


@dataclass(frozen=True)
class OverlongConfig:
    """DAPO's soft overlong punishment (arXiv:2503.14476, equation 13) in the last `buffer_tokens` tokens."""

    enabled: bool
    buffer_tokens: int
    penalty: float


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a constant learning rate after a linear warm-up."""

    learning_rate: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    warmup_steps: int
    max_grad_norm: float


@dataclass(frozen=True)
class TrainerConfig:
    """What a step takes at a time: memory, time and the order of sums depend on it, and nothing else.

    `microbatch_tokens`: rows × longest row of a microbatch, instead of `microbatch_size` rows.
    `recompute_activations`: layer by layer in the backward pass (Chen et al. 2016, arXiv:1604.06174).
    `vocabulary_chunk`: positions whose logits exist at a time, None: all.
    """

    gpus: int = 1
    microbatch_tokens: int | None = None
    recompute_activations: bool = False
    vocabulary_chunk: int | None = None


@dataclass(frozen=True)
class GrpoConfig:
    """The GRPO loop; DAPO, Dr. GRPO and REINFORCE are settings of it.

    The KL to the base is measured in the first step and every `kl_every_steps`; in all if the loss needs it.
    `tracked_updates`: weights of each tensor whose intended updates are summed up, to measure what is lost.
    """

    steps: int
    prompts_per_step: int
    group_size: int
    minibatches: int
    epochs: int
    microbatch_size: int
    sampling: SamplingConfig
    rewards: RewardConfig
    advantage: AdvantageConfig
    loss: LossConfig
    dynamic_sampling: DynamicSamplingConfig
    overlong: OverlongConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    rollout: RolloutConfig
    kl_every_steps: int
    tracked_updates: int
    log_rollouts_every_steps: int
    log_rollouts_count: int
    snapshot_steps: tuple[int, ...]
    checkpoint_every_steps: int


@dataclass(frozen=True)
class EvaluationTaskConfig:
    """How many problems of a task are sampled (null: all), how often, and where a response ends.

    `keep_stop`: a stop string that ends a response is part of what is judged.
    """

    rows: int | None
    samples: int
    max_tokens: int
    stop: tuple[str, ...]
    keep_stop: bool
    pass_at: tuple[int, ...]


@dataclass(frozen=True)
class KlConfig:
    """KL to the base: `problems` per task, `samples` responses each, sampled at temperature 1."""

    problems: int
    samples: int


@dataclass(frozen=True)
class EvaluationConfig:
    """Sampling evaluation, the same for the base and for every policy."""

    on_task: str
    suites: dict[str, tuple[str, ...]]
    tasks: dict[str, EvaluationTaskConfig]
    temperature: float
    top_p: float
    seed: int
    base_samples_factor: int
    max_batch_rows: int
    rollout: RolloutConfig
    kl: KlConfig
    snapshot_samples: int
    sparsity_eta: float


@dataclass(frozen=True)
class PerfectibleConfig:
    """Keep the training problems that the base solves in a share of `samples` within [lowest, highest]."""

    enabled: bool
    samples: int
    lowest: float
    highest: float
    seed: int


@dataclass(frozen=True)
class GeometryConfig:
    """Measures of the updates: subspaces of `rank` singular vectors, isotropic nulls of `null_draws`."""

    rank: int
    null_draws: int
    seed: int


@dataclass(frozen=True)
class EqualProgressConfig:
    """Matching of checkpoints at equal on-task progress: the measure, and how near a match must be."""

    measure: Literal["kl", "accuracy"]
    largest_kl_ratio: float
    largest_gap_points: float


@dataclass(frozen=True)
class AnalysisConfig:
    """Margins and levels of the hypothesis tests, fixed before data."""

    reference: str
    alpha: float
    confidence: float
    equivalence_margin_points: float
    h2_smallest_ratio: float
    kl_equivalence_ratio: float
    equal_progress: EqualProgressConfig


@dataclass(frozen=True)
class ExternalPolicyConfig:
    """A checkpoint trained elsewhere: evaluated like the others, and analysed as seed `seed` of arm `arm`."""

    name: str
    path: str
    arm: str
    seed: int
    revision: str = ""
