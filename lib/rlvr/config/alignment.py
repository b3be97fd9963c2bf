"""Section `alignment`: data, prompts, the three ways of training, and how their runs are compared.

The names of the training settings are those of Stanford CS336 (spring 2025), assignment 5.
"""

from dataclasses import dataclass
from typing import Literal

from rlvr.config.sources import RowSource

LossType = Literal["no_baseline", "reinforce_with_baseline", "grpo_clip", "grpo_no_clip"]
Estimator = Literal["group", "batch", "per_prompt_buffer", "per_prompt_ema"]


@dataclass(frozen=True)
class PromptConfig:
    """A prompt by name: the template around the question, and the verifier that reads the response."""

    template: str
    verifier: str


@dataclass(frozen=True)
class TaggedExamples:
    """SFT examples of an embedded family in the format of r1_zero.

    The label is right with probability `right`, else it follows the family's wrong rule. `rows`: how many are
    drawn, without repeating a question; null for all.
    """

    kind: Literal["tagged"]
    family: str
    right: float
    rows: int | None
    seed: int


@dataclass(frozen=True)
class PairsSource:
    """Prompts, responses and ground truths of a local `.jsonl` or `.jsonl.gz` file.

    `prompt_field`: the question, without a template. `format`: the response as it stands, or a worked
    solution that is closed with the tags of r1_zero around the answer. Rows of `excluded_ids`, and those
    whose `overlap_field` is not empty, are left out.
    """

    kind: Literal["pairs"]
    path: str
    id_field: str
    prompt_field: str
    response_field: str
    answer_field: str
    format: Literal["plain", "r1_zero"]
    overlap_field: str
    excluded_ids: tuple[str, ...]


@dataclass(frozen=True)
class AlignmentDataConfig:
    """What supervised training learns from, what is sampled for, and what validates."""

    sft: TaggedExamples | PairsSource
    train: RowSource
    validation: RowSource


@dataclass(frozen=True)
class ValidationConfig:
    """Accuracy on the first `rows` validation problems by a seeded choice (null: all), one response each.

    `final_rows`: the same after the last step. `logged`: responses that are written out, with their entropy.
    """

    rows: int | None
    final_rows: int | None
    seed: int
    logged: int


@dataclass(frozen=True)
class OptimizationConfig:
    """AdamW and gradient clipping, of all trainings but the learning rate."""

    betas: tuple[float, float]
    eps: float
    weight_decay: float
    max_grad_norm: float


@dataclass(frozen=True)
class SftSettings:
    """One supervised training. `size`: examples, null for all. `filtered`: only correct ones."""

    steps: int
    batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float
    size: int | None
    filtered: bool
    validate_every_steps: int


@dataclass(frozen=True)
class ExpertIterationSettings:
    """`steps` rounds of: sample `batch_size` questions (D_b), `rollouts` responses each (G), train on the
    correct ones for `epochs`, in batches of `sft_batch_size`."""

    steps: int
    batch_size: int
    rollouts: int
    epochs: int
    sft_batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float


@dataclass(frozen=True)
class GrpoSettings:
    """One GRPO training; `prompt` is a key of `alignment.prompts`.

    `advantage`, `buffer_size`, `min_count`, `decay`: see `rlvr.config.precision.AdvantageConfig`.
    `normalize_constant`: divisor of `masked_normalize`.
    """

    steps: int
    rollout_batch_size: int
    group_size: int
    train_batch_size: int
    gradient_accumulation_steps: int
    epochs_per_rollout_batch: int
    learning_rate: float
    advantage_eps: float
    use_std_normalization: bool
    advantage: Estimator
    buffer_size: int
    min_count: int
    decay: float
    loss_type: LossType
    cliprange: float
    length_normalization: Literal["masked_mean", "masked_normalize"]
    normalize_constant: float
    prompt: str
    validate_every_steps: int
    checkpoint_every_steps: int


@dataclass(frozen=True)
class ComparisonConfig:
    """Fixed before data: the level of intervals, the least difference that matters, and what diverged means.

    A run has diverged if a gradient or a logit was no finite number, or if its final accuracy is below
    `collapse_share` of the start's.
    """

    confidence: float
    margin_points: float
    collapse_share: float
