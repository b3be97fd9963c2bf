"""A policy in training: its model, optimiser and engine, set up, saved and restored."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.precision import GrpoConfig
from rlvr.config.verification import VerificationConfig
from rlvr.data.problem import Problem
from rlvr.devices import check_dtypes, resolve_device
from rlvr.diagnostics.sparsity import movable_fraction
from rlvr.files import atomic_path
from rlvr.models.loading import load_policy, load_tokenizer, read_config, save_policy
from rlvr.models.products import multiplied_in_float32
from rlvr.models.recomputation import recompute_layers
from rlvr.models.weights import copy_weights, weight_hash, write_weights
from rlvr.precision import PrecisionMode, torch_dtype
from rlvr.processes import is_first_process, of_all_processes, process_count
from rlvr.rollout.engine import RolloutEngine
from rlvr.rollout.opening import open_engine
from rlvr.shards import local
from rlvr.training.advantage import Estimator
from rlvr.training.checkpoint import load_checkpoint, save_checkpoint
from rlvr.training.dtype_contract import DtypeContract
from rlvr.training.grpo import Setting, TrainingState
from rlvr.training.metrics import WeightTracker
from rlvr.training.notes import inert_factors, notes
from rlvr.training.optimizer import make_optimizer, trainable_policy
from rlvr.training.prompts import fitting_problems
from rlvr.training.sharing import SharedEngine
from rlvr.training.update import Updater, make_scaler
from rlvr.verify.registry import Judge, describe_isolation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides the outcome of one training run, besides its input files."""

    mode: PrecisionMode
    seed: int
    rep: int
    template: str
    device: str
    compute_threads: int
    verification: VerificationConfig
    training: GrpoConfig


def _probe_activations(model: nn.Module, contract: DtypeContract, token: int, device: torch.device) -> None:
    """Check the dtypes of activations and logits in one forward over a few tokens."""
    tokens = torch.full((1, 2), token, device=device)
    with torch.no_grad(), contract.check_activations(model):
        logits = model(tokens).logits
    contract.check("logits", contract.mode.logits, [("logits", logits)])


def _movable(model: nn.Module, learning_rate: float) -> float:
    """`movable_fraction` of a model's weights, which may be divided among processes."""
    own = {name: local(weight) for name, weight in model.named_parameters()}
    count = sum(weight.numel() for weight in own.values())
    movable, total = zip(
        *of_all_processes((movable_fraction(own, learning_rate) * count, count)), strict=True
    )
    return sum(movable) / sum(total)


class Trainer:
    """One policy in training.

    `base`: folder of the policy that it starts from; `identity`: digest of everything that must be equal for
    its checkpoints to be of use.
    Where several processes share the job (`rlvr.training.launch`), each has a trainer, and all methods but
    `open_engine`'s engine are collectives; the first process writes.
    """

    def __init__(self, job: TrainingJob, base: str, checkpoints: str | Path, identity: str):
        self.job, self.mode = job, job.mode
        self.base_folder, self.checkpoints, self.identity = base, Path(checkpoints), identity
        self.flags = configure_arithmetic(job.compute_threads, self.mode.deterministic, job.seed)
        self.device = resolve_device(job.device)
        check_dtypes(self.device, {self.mode.compute, self.mode.rollout, self.mode.evaluation})
        self.tokenizer = load_tokenizer(base)
        divided = process_count() > 1
        self.model = trainable_policy(base, self.mode, self.device, divided)
        if job.training.trainer.recompute_activations:
            recompute_layers(self.model)
        compute = torch_dtype(self.mode.compute)
        self.base = load_policy(base, compute, compute, self.mode.logits_fp32, self.device, divided)
        settings = job.training.optimizer
        self.movable = _movable(self.model, settings.learning_rate)
        self.optimizer = make_optimizer(
            self.model,
            self.mode,
            settings.learning_rate,
            settings.betas,
            settings.eps,
            settings.weight_decay,
            job.seed,
            job.training.tracked_updates,
        )
        self.scaler = make_scaler(self.mode, self.device)
        self.estimator = Estimator(job.training.advantage, job.training.group_size)
        self.contract = DtypeContract(self.mode)
        self.dtypes_before: dict[str, str] = {}
        self.prompts: dict[str, int] = {}
        self.isolation: dict[str, Any] | None = None

    def open_engine(self) -> RolloutEngine:
        """An engine with its own copy of all weights, in the mode's dtype of rollouts.

        Processes that share the job have one each, and draw their share.
        """
        training = self.job.training
        engine = open_engine(
            self.model,
            self.tokenizer,
            torch_dtype(self.mode.rollout),
            training.sampling.max_batch_rows,
            self.device,
            rollout=training.rollout,
            invariant=self.mode.deterministic,
        )
        return engine if process_count() == 1 else SharedEngine(engine)

    def setting(self, engine: RolloutEngine, judge: Judge, problems: Sequence[Problem]) -> Setting:
        """What the loop needs; dtypes that can be seen before the first step are checked here."""
        self.contract.check_parameters(self.model)
        self.contract.check_rollout(engine.named_weights())
        _probe_activations(self.model, self.contract, self.tokenizer.pad_token_id, self.device)
        room = engine.max_positions - self.job.training.sampling.max_tokens
        fitting = fitting_problems(problems, self.job.template, self.tokenizer, room)
        self.prompts = {"used": len(fitting), "too_long": len(problems) - len(fitting), "room": room}
        self.isolation = describe_isolation(fitting)
        logger.info("%(used)d prompts used, %(too_long)d of more than %(room)d tokens left out", self.prompts)
        return Setting(
            config=self.job.training,
            seed=self.job.seed,
            template=self.job.template,
            problems=fitting,
            device=self.device,
            pad_id=self.tokenizer.pad_token_id,
            base=self.base,
            engine=engine,
            judge=judge,
            updater=Updater(
                self.model,
                self.optimizer,
                self.scaler,
                self.job.training,
                self.mode,
                self.contract,
                self.job.seed,
                self.job.rep,
            ),
            tracker=WeightTracker(self.model),
            estimator=self.estimator,
        )

    def restore(self) -> TrainingState:
        """State of the newest usable checkpoint, a fresh one if there is none.

        Weights, moments and the statistics behind advantages are loaded too.
        """
        found = load_checkpoint(self.checkpoints, self.identity)
        if found is None:
            return TrainingState()
        _, saved = found
        copy_weights(saved["model"].items(), dict(self.model.named_parameters()))
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scaler is not None:
            self.scaler.load_state_dict(saved["scaler"])
        self.estimator.load_state_dict(saved["estimator"])
        self.dtypes_before = saved["dtypes"]
        return TrainingState(**saved["state"])

    def save(self, state: TrainingState) -> None:
        """Checkpoint after `state.step` finished steps."""
        everything = {
            "model": {name: weight.detach() for name, weight in self.model.named_parameters()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else {},
            "estimator": self.estimator.state_dict(),
            "dtypes": self.dtypes_before | self.contract.realised,
            "state": vars(state),
        }
        save_checkpoint(self.checkpoints, state.step, everything, self.identity)

    def save_policy(self, folder: Path) -> None:
        """Write the current policy in Hugging Face format."""
        if not is_first_process():
            write_weights(self.model.named_parameters(), folder)
            return
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            save_policy(self.model, self.tokenizer, temporary, read_config(self.base_folder))

    def facts(self, state: TrainingState) -> dict[str, Any]:
        """What a finished run was and came to, for its provenance."""
        compute = torch_dtype(self.mode.compute)
        inert = inert_factors(self.mode, self.device, self.job.training, state.metrics)
        return {
            "flags": self.flags
            | {
                "16_bit_products_in_float32": multiplied_in_float32(self.device.type, compute),
                "attention": self.model.attention_kernel(bool(self.mode.dropout.rate)),
            },
            # A run that was stopped after its last step has no step left that shows all of them again.
            "dtypes": self.dtypes_before | self.contract.realised,
            "processes": process_count(),
            "prompts": self.prompts,
            "isolation": self.isolation,
            "movable_fraction_of_base": self.movable,
            "weight_hash": weight_hash(self.model.named_parameters()),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "seconds": state.seconds,
            "inert": list(inert),
            "notes": notes(self.mode, inert, state.metrics, self.prompts),
        }
