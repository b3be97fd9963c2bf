"""What the jobs of the alignment study are told, and the files that they read and write."""

from dataclasses import dataclass

from rlvr.config.alignment import (
    ExpertIterationSettings,
    GrpoSettings,
    OptimizationConfig,
    PromptConfig,
    SftSettings,
    ValidationConfig,
)
from rlvr.config.precision import SamplingConfig
from rlvr.config.verification import VerificationConfig
from rlvr.precision import PrecisionMode


def unsupported_factors(mode: PrecisionMode) -> list[str]:
    """Factors of a mode that SFT and expert iteration do not have, or that would replace GRPO's losses."""
    factors = {
        "compute float16": mode.compute == "float16",  # no loss scaling in supervised training
        "gradient_noise": mode.gradient_noise > 0,
        "shuffle_reduction": mode.shuffle_reduction,
        "policy_ratio sequence": mode.policy_ratio == "sequence",
    }
    return [name for name, has in factors.items() if has]


@dataclass(frozen=True)
class Common:
    """What all arms share, `prompt` apart: that of the arm. Seeds are 1 to `seeds`."""

    seeds: int
    mode: PrecisionMode
    prompt: PromptConfig
    generation: SamplingConfig
    validation: ValidationConfig
    optimization: OptimizationConfig
    collapse_share: float
    device: str
    compute_threads: int
    verification: VerificationConfig


@dataclass(frozen=True)
class SftJob:
    """One arm of supervised fine-tuning."""

    arm: str
    settings: SftSettings
    common: Common


@dataclass(frozen=True)
class ExpertIterationJob:
    """One arm of expert iteration."""

    arm: str
    settings: ExpertIterationSettings
    common: Common


@dataclass(frozen=True)
class GrpoJob:
    """One arm of GRPO."""

    arm: str
    settings: GrpoSettings
    common: Common


@dataclass(frozen=True)
class ArmInputs:
    """`base`: folder of the policy that every seed starts from; `examples`: sft.jsonl, or train.jsonl (the
    questions that are sampled for); `validation`: validation.jsonl."""

    base: str
    examples: str
    validation: str


@dataclass(frozen=True)
class ArmFiles:
    """Outputs of an arm, all seeds together, and the folder of its checkpoints."""

    policies: str
    metrics: str
    validation: str
    generations: str
    tensorboard: str
    provenance: str
    checkpoints: str
