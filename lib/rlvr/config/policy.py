"""Section `base`: the policy that every run starts from."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ArchitectureConfig:
    """Shape of a from-scratch Qwen2-family policy.

    `vocab_size`: rows of the embedding; None for the tokenizer's tokens. More are ids without a text, like
    those that large models pad their vocabularies with.
    """

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    mlp_size: int
    tied_embeddings: bool
    init_std: float
    max_positions: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    vocab_size: int | None = None


@dataclass(frozen=True)
class FamilyExamples:
    """SFT examples drawn afresh from the embedded families, with partly wrong labels.

    `weights`: relative frequency of each family. The label is right with probability `right`, follows the
    family's wrong rule with `wrong_rule`, and is the right answer with one digit off by one with `slip`.
    """

    kind: Literal["families"]
    weights: dict[str, float]
    right: float
    wrong_rule: float
    slip: float


@dataclass(frozen=True)
class TaggedFamilyExamples:
    r"""SFT examples of one embedded family in the formats of r1_zero and question_only, both often broken.

    `right`, `wrong_rule` and `slip` as in `FamilyExamples`. A share `question_only` of the examples has the
    bare question as prompt and the label as response, in `\boxed{}` for a share `boxed` of these. The others
    have the prompt of r1_zero; a share `reasoning` of these reasons before it answers, and independently a
    share `well_formed` is in the right format.
    """

    kind: Literal["tagged_families"]
    family: str
    right: float
    wrong_rule: float
    slip: float
    well_formed: float
    question_only: float
    boxed: float
    reasoning: float


@dataclass(frozen=True)
class JsonlExamples:
    """SFT examples from a local file: the templated prompt and the response field.

    Rows with more than `max_tokens` tokens, prompt and response together, are left out and counted; so are
    rows whose `overlap_field` is not empty.
    """

    kind: Literal["jsonl"]
    path: str
    template: str
    max_tokens: int
    prompt_field: str = "question"
    response_field: str = "solution"
    overlap_field: str = ""


Examples = FamilyExamples | TaggedFamilyExamples | JsonlExamples


@dataclass(frozen=True)
class SftConfig:
    """Supervised fine-tuning of a from-scratch policy: AdamW, linear warm-up, linear decay."""

    steps: int
    batch_size: int
    learning_rate: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    warmup_steps: int
    final_learning_rate_ratio: float
    max_grad_norm: float
    log_every_steps: int
    gradient_accumulation_steps: int = 1


@dataclass(frozen=True)
class TinyPolicyConfig:
    """A policy trained from scratch by SFT, in fp32, and saved rounded to `saved_dtype`."""

    kind: Literal["tiny"]
    seed: int
    compute_threads: int
    saved_dtype: str
    tokenizer: Literal["characters", "bytes", "tagged"]
    architecture: ArchitectureConfig
    examples: Examples
    sft: SftConfig


@dataclass(frozen=True)
class PretrainedPolicyConfig:
    """A causal language model in Hugging Face format: a local folder, or a hub id with its revision."""

    kind: Literal["pretrained"]
    path: str
    revision: str = ""


BasePolicyConfig = TinyPolicyConfig | PretrainedPolicyConfig
