"""The GRPO loop; DAPO, Dr. GRPO and REINFORCE are configurations of it."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlvr.config.precision import GrpoConfig
from rlvr.data.problem import Problem
from rlvr.errors import UserError
from rlvr.models.policy_model import PolicyModel
from rlvr.processes import of_all_processes, process_count
from rlvr.rollout.engine import RolloutEngine
from rlvr.sigterm import end_after, noted_sigterm
from rlvr.training.advantage import Estimator
from rlvr.training.batch import TrainingBatch, batch_metrics, make_batch
from rlvr.training.groups import Group, collect_groups
from rlvr.training.metrics import Progress, Row, WeightTracker, logged_rollouts, rollout_metrics
from rlvr.training.optimizer import learning_rate
from rlvr.training.scores import response_log_probs
from rlvr.training.update import Updater, UpdateResult
from rlvr.verify.registry import Judge

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """What changes from step to step: all of it is in a checkpoint.

    `seconds`: of the steps alone. Runs that validate have a row a validation, the responses that it logged,
    and the weights (on the CPU) of the last one.
    """

    step: int = 0
    metrics: list[Row] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    validation: list[dict[str, Any]] = field(default_factory=list)
    generations: list[dict[str, Any]] = field(default_factory=list)
    validated: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """The parts of a run that stay: data, models, engine, contract."""

    config: GrpoConfig
    seed: int
    template: str
    problems: list[Problem]
    device: torch.device
    pad_id: int
    base: PolicyModel
    engine: RolloutEngine
    judge: Judge
    updater: Updater
    tracker: WeightTracker
    estimator: Estimator


def _empty_update() -> dict[str, float]:
    """Metrics of a step in which every group was dropped: nothing was trained."""
    names = ["loss", "grad_norm", "clip_fraction", "ratio_max", "entropy", "kl_base_k1", "kl_base_k3"]
    names += ("logprob_mismatch_mean", "logprob_mismatch_max", "importance_weight_mean", "loss_scale")
    names += ("advantage_tracked",)
    return {"updates": 0, "updates_skipped": 0} | dict.fromkeys(names, math.nan)


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _measures_kl(config: GrpoConfig, step: int) -> bool:
    """Whether a step, from 0, needs the base's log-probabilities."""
    return config.loss.kl_beta > 0 or step == 0 or (step + 1) % config.kl_every_steps == 0


def _batch(setting: Setting, groups: Sequence[Group], advantages: Tensor, step: int) -> TrainingBatch:
    updater = setting.updater
    return make_batch(
        groups,
        advantages,
        updater.model,
        setting.base if _measures_kl(setting.config, step) else None,
        setting.pad_id,
        setting.config,
        updater.mode,
        setting.device,
    )


def _update(updater: Updater, batch: TrainingBatch, step: int) -> UpdateResult:
    """`Updater.update`; FloatingPointError also where its first minibatches have broken the weights.

    Of several processes one alone may see that, and cannot compute again without the others.
    """
    try:
        return updater.update(batch, step)
    except ValueError as error:
        if process_count() > 1:
            raise
        tokens = {name: getattr(batch, name) for name in ("input_ids", "labels", "response_mask")}
        config = updater.config
        log_probs, _ = response_log_probs(
            updater.model, tokens, config.microbatch_size, False, trainer=config.trainer
        )
        if log_probs.isfinite().all():
            raise
        raise FloatingPointError(
            f"step {step + 1}: log-probabilities are not finite after an update: the weights have diverged"
        ) from error


def train_step(setting: Setting, step: int) -> tuple[Row, list[dict[str, Any]]]:
    """One step of the GRPO loop: sample, verify, score, update; returns metrics and rollouts to log."""
    config, seed = setting.config, setting.seed
    started = _clock(setting.device)
    model, optimizer = setting.updater.model, setting.updater.optimizer
    setting.engine.load_weights(model.named_parameters())
    collected = collect_groups(
        setting.problems, setting.template, setting.engine, setting.judge, config, seed, step
    )
    advantages, tracked = setting.estimator.estimate(collected, setting.device)
    scored = updated = _clock(setting.device)
    before = setting.tracker.copy()
    losses = _empty_update()
    if collected.kept:
        batch = _batch(setting, collected.kept, advantages, step)
        scored = _clock(setting.device)
        result = _update(setting.updater, batch, step)
        updated = _clock(setting.device)
        losses = batch_metrics(batch) | vars(result) | {"advantage_tracked": tracked}
    else:
        logger.warning("step %d: every group was all right or all wrong; nothing to train on", step + 1)
    row = {"step": step + 1} | rollout_metrics(collected) | losses
    updated_weights = losses["updates"] > losses["updates_skipped"]
    row |= setting.tracker.compare(before, optimizer, updated_weights)
    seconds = _clock(setting.device) - started
    row |= {
        "learning_rate": learning_rate(step, config),
        "seconds_rollout": collected.seconds_rollout,
        "seconds_verify": collected.seconds_verify,
        "seconds_log_probs": scored - started - collected.seconds_rollout - collected.seconds_verify,
        "seconds_update": updated - scored,
        "seconds_step": seconds,
        "tokens_per_second": row["tokens"] / seconds,
        "rollouts_per_second": row["rollouts"] / seconds,
    }
    log_now = (step + 1) % config.log_rollouts_every_steps == 0 or step == 0
    return row, logged_rollouts(step + 1, collected.sampled, config.log_rollouts_count) if log_now else []


def _train_step_in_memory(setting: Setting, step: int) -> tuple[Row, list[dict[str, Any]]]:
    """`train_step`; UserError that names what to change where it needs more memory than a GPU has."""
    try:
        return train_step(setting, step)
    except torch.OutOfMemoryError as error:
        config, trainer = setting.config, setting.config.trainer
        raise UserError(
            f"step {step + 1} does not fit into the memory of the GPU ({str(error).splitlines()[0]}). What "
            f"makes it smaller: trainer.microbatch_tokens (now {trainer.microbatch_tokens}) or "
            f"microbatch_size (now {config.microbatch_size}; in the alignment study more "
            "gradient_accumulation_steps), trainer.recompute_activations (now "
            f"{trainer.recompute_activations}), trainer.vocabulary_chunk (now {trainer.vocabulary_chunk}), "
            f"sampling.max_batch_rows (now {config.sampling.max_batch_rows}), more trainer.gpus (now "
            f"{trainer.gpus}). The last checkpoint stays, and with other settings of trainer the run goes on "
            "from it"
        ) from error


def train(
    setting: Setting,
    state: TrainingState,
    save: Callable[[TrainingState], None],
    after_step: Callable[[TrainingState], None],
) -> None:
    """Run the loop from `state` to the last step, updating `state`.

    `after_step` is called after every step, before its checkpoint, and `save` every `checkpoint_every_steps`
    steps but after the last. Numbers that are not finite raise FloatingPointError; `state` then holds the
    steps before. After a SIGTERM the step is finished and saved, and Terminated raised: in all processes that
    share the job, though it may have reached only one, or another one in another step.
    """
    config = setting.config
    progress = Progress(config.steps, first=state.step)
    with noted_sigterm() as sigterm:
        while state.step < config.steps:
            started = time.perf_counter()
            row, records = _train_step_in_memory(setting, state.step)
            state.step += 1
            state.metrics.append(row)
            state.rollouts.extend(records)
            state.seconds += time.perf_counter() - started
            progress.report(row)
            after_step(state)
            if any(of_all_processes(sigterm.came)):
                save(state)
                end_after(f"step {state.step} of {config.steps}")
            if state.step % config.checkpoint_every_steps == 0 and state.step < config.steps:
                save(state)
