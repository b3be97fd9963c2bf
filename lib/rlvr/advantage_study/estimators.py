"""The trainings that compare estimators of the advantage: few questions, few responses to each."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from rlvr.config.advantage import EstimatorDataConfig, EstimatorSettings
from rlvr.config.alignment import Estimator, GrpoSettings
from rlvr.data.choice import choose_problems
from rlvr.data.overlap import drop_overlap
from rlvr.data.prepare import load_sources
from rlvr.data.rows import DataError
from rlvr.files import sha256_file, write_json, write_jsonl

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EstimatorDataFiles:
    """Outputs: problems of training and validation as JSON lines, and what they came from."""

    train: str
    validation: str
    manifest: str


def prepare_estimator_data(
    config: EstimatorDataConfig, verifier: str, data_root: str | Path, files: EstimatorDataFiles
) -> None:
    """Write the questions of training and of validation, which have none in common, and their manifest.

    Bad rows, and fewer training questions than asked for, raise DataError.
    """
    validation = load_sources([config.validation], "validation", verifier, data_root)
    train = load_sources([config.train], "train", verifier, data_root)
    left, dropped = drop_overlap(train.found.problems, validation.found.problems)
    if len(left) < config.questions:
        raise DataError(
            f"advantage.grpo.data.questions is {config.questions}, but the source has {len(left)} that are "
            "not in validation too; ask for fewer, or give a larger source"
        )
    chosen = choose_problems(left, config.questions, config.seed)
    write_jsonl(files.train, map(asdict, chosen))
    write_jsonl(files.validation, map(asdict, validation.found.problems))
    overlap = sum(dropped.values())
    facts = {"verifier": verifier, **train.facts, "overlap_dropped": overlap, "rows": len(chosen)}
    manifest = {
        "train": facts | {"sha256": sha256_file(files.train)},
        "validation": {"verifier": verifier, **validation.facts, "sha256": sha256_file(files.validation)},
    }
    write_json(files.manifest, manifest)
    log.info("%d training questions, %d for validation", len(chosen), len(validation.found.problems))


def grpo_settings(settings: EstimatorSettings, estimator: Estimator) -> GrpoSettings:
    """The training of one estimator as an arm of `rlvr.alignment.grpo`; validated at its start and end."""
    rows = settings.prompts_per_step * settings.group_size
    return GrpoSettings(
        steps=settings.steps,
        rollout_batch_size=rows,
        group_size=settings.group_size,
        train_batch_size=rows,
        gradient_accumulation_steps=1,
        epochs_per_rollout_batch=1,
        learning_rate=settings.learning_rate,
        advantage_eps=settings.eps,
        use_std_normalization=True,
        advantage=estimator,
        buffer_size=settings.buffer_size,
        min_count=settings.min_count,
        decay=settings.decay,
        loss_type="reinforce_with_baseline",
        cliprange=0.2,  # of no use to this loss
        length_normalization="masked_mean",
        normalize_constant=1.0,
        prompt="",  # the study has one, which is in the job
        validate_every_steps=settings.steps,
        checkpoint_every_steps=settings.checkpoint_every_steps,
    )
