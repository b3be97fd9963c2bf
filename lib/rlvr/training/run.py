"""Train one policy with RLVR: set up, loop, checkpoint, write the results (rule train_policy)."""

import logging
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rlvr.config.precision import TrainerConfig
from rlvr.config.rollout import VllmConfig
from rlvr.data.problem import read_problems
from rlvr.devices import arithmetic_identity, describe_device, resolve_device
from rlvr.files import atomic_path, write_csv, write_json, write_jsonl
from rlvr.processes import is_first_process, of_first_process
from rlvr.provenance import digest, environment, hash_inputs, resume_identity, sha256_path
from rlvr.sources import code_digest
from rlvr.training.completion import is_orphan, release_checkpoints
from rlvr.training.grpo import TrainingState, train
from rlvr.training.owner import only_process
from rlvr.training.sharing import SharedJudge
from rlvr.training.tensorboard import write_tensorboard
from rlvr.training.trainer import Trainer, TrainingJob

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """Inputs (`base`, `problems`), outputs, and the folder of checkpoints, which is neither."""

    base: str
    problems: str
    policy: str
    snapshots: str
    metrics: str
    rollouts: str
    tensorboard: str
    provenance: str
    checkpoints: str


class Run(Trainer):
    """One run of the precision study: a policy in training, its snapshots and its files."""

    def __init__(self, job: TrainingJob, files: TrainingFiles, code: str):
        self.files, self.code = files, code
        self.inputs = hash_inputs({"base": files.base, "problems": files.problems})
        arithmetic = arithmetic_identity(resolve_device(job.device), (job.mode.compute, job.mode.rollout))
        # A run that had not memory enough goes on with other passes, or another share for vLLM, which change
        # its rounding only.
        rollout = replace(job.training.rollout, vllm=VllmConfig())
        training = replace(job.training, trainer=TrainerConfig(), rollout=rollout)
        outcome = replace(job, training=training)
        identity = resume_identity(outcome, self.inputs, code, arithmetic)
        super().__init__(job, files.base, files.checkpoints, identity)

    def snapshot(self, state: TrainingState) -> None:
        """Keep the weights of a configured step beside the checkpoints until the run is complete."""
        if state.step in self.job.training.snapshot_steps:
            self.save_policy(self.checkpoints / "snapshots" / f"step{state.step}")

    def write_results(self, state: TrainingState) -> None:
        """Write every declared output, then release the checkpoints."""
        self.save_policy(Path(self.files.policy))
        provenance = self.provenance(state)
        if not is_first_process():
            return
        with atomic_path(self.files.snapshots) as temporary:
            temporary.mkdir()
            for step in self.job.training.snapshot_steps:
                kept = self.checkpoints / "snapshots" / f"step{step}"
                shutil.copytree(kept, temporary / kept.name)
        write_csv(self.files.metrics, list(state.metrics[0]), state.metrics)
        write_jsonl(self.files.rollouts, state.rollouts)
        write_tensorboard(self.files.tensorboard, state.metrics)
        written = ("metrics", "rollouts", "snapshots")
        provenance["outputs"] = {name: sha256_path(getattr(self.files, name)) for name in written}
        write_json(self.files.provenance, provenance)
        release_checkpoints(self.checkpoints)

    def provenance(self, state: TrainingState) -> dict[str, Any]:
        """The record of what this run was."""
        return {
            "job": {key: value for key, value in asdict(self.job).items() if key != "mode"},
            "mode": asdict(self.mode),
            "config_digest": digest(self.job),
            "code_digest": self.code,
            "inputs": self.inputs,
            **environment(),
            "device": describe_device(self.device),
            "threads": self.job.compute_threads,
            **self.facts(state),
        }


def train_policy(
    job: TrainingJob, files: TrainingFiles, verification_workers: int = 1, code: str | None = None
) -> None:
    """`run_training` in this process, by itself, which must not be done twice at a time.

    `code`: digest of the code that is run, for resume and provenance; computed here (1 s) if not known.
    """
    with only_process(files.checkpoints):
        run_training(job, files, verification_workers, code or code_digest(__file__))


def run_training(job: TrainingJob, files: TrainingFiles, verification_workers: int, code: str) -> None:
    """Train from `files.base` on `files.problems`; resume from a checkpoint where one fits.

    Deterministic modes give the same weight hash on every run with the same job, inputs, code and machine.
    A dtype that is not the mode's raises DtypeMismatch; a gradient that is not finite, FloatingPointError.
    Every process that shares the job calls this.
    """
    run = Run(job, files, code)
    logger.info(
        "%s: a step of the learning rate can move %.1f %% of the weights", job.mode.name, 100 * run.movable
    )
    with run.open_engine() as engine, SharedJudge(verification_workers, job.verification) as judge:
        setting = run.setting(engine, judge, read_problems(files.problems))
        state = run.restore()
        train(setting, state, run.save, run.snapshot)
        if of_first_process(is_orphan()):
            run.save(state)
        run.write_results(state)
