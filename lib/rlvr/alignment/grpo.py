"""The GRPO arms: the loop of `rlvr.training.grpo` with validation, seed by seed (rule train_grpo_arm)."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rlvr.alignment.arm import train_seeds, train_to_an_end, validate
from rlvr.alignment.job import ArmFiles, ArmInputs, GrpoJob
from rlvr.alignment.results import SeedResult, close_validation
from rlvr.alignment.setup import Setup, read_prompted
from rlvr.config.alignment import GrpoSettings, OptimizationConfig
from rlvr.config.precision import (
    AdvantageConfig,
    DynamicSamplingConfig,
    GrpoConfig,
    LossConfig,
    OptimizerConfig,
    OverlongConfig,
    RewardConfig,
    SamplingConfig,
    TrainerConfig,
)
from rlvr.config.rollout import NATIVE
from rlvr.errors import UserError
from rlvr.training.grpo import Setting, TrainingState, train
from rlvr.training.trainer import Trainer, TrainingJob
from rlvr.training.validation import Validator
from rlvr.verify.registry import Judge

# Weights of each tensor whose intended updates are summed up, as in the precision study.
TRACKED_UPDATES = 65536
# Nothing of the study is made of the KL to the base; the metrics have it for people.
KL_EVERY_STEPS = 10


def _require_divisible(settings: GrpoSettings) -> None:
    """UserError, naming both keys, for sizes that the loop could only honour by changing one."""
    for size, divisor in (
        ("rollout_batch_size", "group_size"),
        ("rollout_batch_size", "train_batch_size"),
        ("train_batch_size", "group_size"),
        ("train_batch_size", "gradient_accumulation_steps"),
    ):
        numbers = getattr(settings, size), getattr(settings, divisor)
        if numbers[0] % numbers[1]:
            raise UserError(
                f"alignment.grpo: {size} is {numbers[0]}, which is no multiple of {divisor} {numbers[1]}; "
                "change one of them, in the settings or in the arm of the experiment that sets it"
            )


def grpo_config(
    settings: GrpoSettings, generation: SamplingConfig, optimization: OptimizationConfig
) -> GrpoConfig:
    """The loop's configuration of an arm: correct responses earn 1, the others 0, and nothing is shaped.

    Sizes that do not divide one another raise UserError.
    """
    _require_divisible(settings)
    return GrpoConfig(
        steps=settings.steps,
        prompts_per_step=settings.rollout_batch_size // settings.group_size,
        group_size=settings.group_size,
        minibatches=settings.rollout_batch_size // settings.train_batch_size,
        epochs=settings.epochs_per_rollout_batch,
        microbatch_size=settings.train_batch_size // settings.gradient_accumulation_steps,
        sampling=generation,
        rewards=RewardConfig(correct=1.0, incorrect=0.0),
        advantage=_advantage(settings),
        loss=_loss(settings),
        dynamic_sampling=DynamicSamplingConfig(enabled=False, max_rounds=0),
        overlong=OverlongConfig(enabled=False, buffer_tokens=1, penalty=0.0),
        optimizer=OptimizerConfig(learning_rate=settings.learning_rate, warmup_steps=0, **vars(optimization)),
        trainer=TrainerConfig(),
        rollout=NATIVE,
        kl_every_steps=KL_EVERY_STEPS,
        tracked_updates=TRACKED_UPDATES,
        log_rollouts_every_steps=settings.steps,  # the responses that are kept are those of the validations
        log_rollouts_count=0,
        snapshot_steps=(),
        checkpoint_every_steps=settings.checkpoint_every_steps,
    )


def _advantage(settings: GrpoSettings) -> AdvantageConfig:
    return AdvantageConfig(
        estimator="none" if settings.loss_type == "no_baseline" else settings.advantage,
        normalize_by_std=settings.use_std_normalization,
        eps=settings.advantage_eps,
        buffer_size=settings.buffer_size,
        min_count=settings.min_count,
        decay=settings.decay,
    )


def _loss(settings: GrpoSettings) -> LossConfig:
    means: dict[str, Literal["sequence_mean", "constant"]] = {
        "masked_mean": "sequence_mean",
        "masked_normalize": "constant",
    }
    return LossConfig(
        type=settings.loss_type,
        clip_low=settings.cliprange,
        clip_high=settings.cliprange,
        sequence_clip_low=settings.cliprange,
        sequence_clip_high=settings.cliprange,
        aggregation=means[settings.length_normalization],
        normalize_constant=settings.normalize_constant,
        kl_beta=0.0,
    )


class _Seed:
    """One seed in training: the loop, validated at its start, on the way and at its end."""

    def __init__(self, trainer: Trainer, setting: Setting, validator: Validator, every: int):
        self._trainer, self._setting, self._validator, self._every = trainer, setting, validator, every

    def _validate(self, state: TrainingState, final: bool = False) -> None:
        """Validate the weights as they are, and keep a copy of them as weights that can be sampled from."""
        model, setting = self._trainer.model, self._setting
        state.validated = validate(state, self._validator, model, setting.engine, setting.judge, final)

    def _after_step(self, state: TrainingState) -> None:
        if state.step % self._every == 0 and state.step < self._setting.config.steps:
            self._validate(state)

    def _train(self, state: TrainingState) -> None:
        if not state.validation:
            self._validate(state)
        train(self._setting, state, self._trainer.save, self._after_step)

    def _return_to_validated(self, state: TrainingState) -> int:
        self._trainer.model.load_state_dict(state.validated)
        return state.validation[-1]["step"]

    def train(self, state: TrainingState) -> str:
        """Train to the end, or until a number is not finite; see `train_to_an_end`."""
        return train_to_an_end(
            train=partial(self._train, state),
            validate=partial(self._validate, state, final=True),
            steps_done=lambda: state.step,
            return_to_validated=partial(self._return_to_validated, state),
        )


def _record(trainer: Trainer, state: TrainingState, last: dict[str, Any]) -> dict[str, Any]:
    """What the provenance says of a seed. Tokens of responses; trained on: each as often as in an update.

    A step that was broken off is in none of the numbers.
    """
    totals = {name: sum(row[name] for row in state.metrics) for name in ("rollouts", "tokens")}
    return {
        "seed": trainer.job.seed,
        "steps": state.step,
        "updates": sum(row["updates"] - row["updates_skipped"] for row in state.metrics),
        "rollouts": totals["rollouts"],
        "tokens_sampled": totals["tokens"],
        "tokens_trained": totals["tokens"] * trainer.job.training.epochs,
        "diverged": last["diverged"],
        "reason": last["reason"],
        **trainer.facts(state),
    }


class _SeedTrainer:
    """A `SeedTrainer` of an arm."""

    def __init__(self, job: GrpoJob, inputs: ArmInputs):
        self.job, self.base = job, inputs.base
        self.config = grpo_config(job.settings, job.common.generation, job.common.optimization)
        self.setup = Setup.open(job.common, inputs.base, inputs.validation)
        self.problems = read_prompted(inputs.examples, job.common)

    def _training_job(self, seed: int) -> TrainingJob:
        common = self.job.common
        return TrainingJob(
            mode=common.mode,
            seed=seed,
            rep=1,
            template=common.prompt.template,
            device=common.device,
            compute_threads=common.compute_threads,
            verification=common.verification,
            training=self.config,
        )

    def __call__(
        self, seed: int, judge: Judge, checkpoints: Path, identity: str
    ) -> tuple[SeedResult, Callable[[Path], None]]:
        common = self.job.common
        trainer = Trainer(self._training_job(seed), self.base, checkpoints, identity)
        with trainer.open_engine() as engine:
            setting = trainer.setting(engine, judge, self.problems)
            state = trainer.restore()
            validator = self.setup.validator(seed, common.validation.logged)
            broken = _Seed(trainer, setting, validator, self.job.settings.validate_every_steps).train(state)
        validation = close_validation(state.validation, common.collapse_share, broken)
        record = _record(trainer, state, validation[-1])
        return SeedResult(seed, state.metrics, validation, state.generations, record), trainer.save_policy


def train_grpo_arm(
    job: GrpoJob, inputs: ArmInputs, files: ArmFiles, verification_workers: int, code: str
) -> None:
    """Train every seed of an arm, see `train_seeds`.

    A seed that diverges is recorded as such and does not stop the others. Sizes that do not divide one
    another raise UserError.
    """
    train_seed = _SeedTrainer(job, inputs)
    facts = {"training": asdict(train_seed.config)}
    train_seeds("grpo", job, inputs, files, verification_workers, code, train_seed, facts)
