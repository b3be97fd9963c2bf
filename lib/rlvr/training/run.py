"""Train one policy with RLVR: set up, loop, checkpoint, write the results (rule train_policy)."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.precision import GrpoConfig
from rlvr.data.prepare import read_problems
from rlvr.devices import describe_device, resolve_device
from rlvr.diagnostics.sparsity import movable_fraction
from rlvr.errors import UserError
from rlvr.files import atomic_path, write_json, write_jsonl
from rlvr.models.loading import load_policy, load_tokenizer, read_config, save_policy
from rlvr.models.weights import weight_hash
from rlvr.optim import AdamW
from rlvr.precision import PrecisionMode, resolve_mode, torch_dtype
from rlvr.provenance import digest, environment, hash_inputs
from rlvr.rollout.open import open_engine
from rlvr.sources import code_digest
from rlvr.training.checkpoint import clear_checkpoints, load_checkpoint, save_checkpoint
from rlvr.training.dtype_contract import DtypeContract
from rlvr.training.grpo import Setting, TrainingState, train
from rlvr.training.metrics import WeightTracker, write_metrics, write_tensorboard
from rlvr.verify.registry import Judge

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides the outcome of one training run, besides its input files."""

    mode: str
    dropout_rate: float
    seed: int
    rep: int
    template: str
    device: str
    compute_threads: int
    training: GrpoConfig


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


def _load(path: str, master: str, mode: PrecisionMode, device: torch.device) -> nn.Module:
    return load_policy(path, torch_dtype(master), torch_dtype(mode.compute), mode.logits_fp32, device)


def _make_optimizer(model: nn.Module, mode: PrecisionMode, job: TrainingJob) -> AdamW:
    settings = job.training.optimizer
    return AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        state_dtype=torch_dtype(mode.optimizer_state),
        write_back=mode.write_back,
        seed=job.seed,
    )


def _identity(job: TrainingJob, inputs: dict[str, str], device: torch.device) -> str:
    """Digest of all that must be equal for a resume to give the same bits."""
    packages = environment()["packages"]
    return digest([asdict(job), inputs, code_digest(Path(__file__)), packages["torch"], describe_device(device)])


def _restore(setting: Setting, checkpoints: Path, identity: str) -> TrainingState:
    """State of the newest usable checkpoint, its weights and moments loaded; a fresh one if there is none."""
    found = load_checkpoint(checkpoints, identity)
    if found is None:
        return TrainingState()
    step, saved = found
    setting.model.load_state_dict(saved["model"])
    setting.optimizer.load_state_dict(saved["optimizer"])
    return TrainingState(step, saved["metrics"], saved["rollouts"], saved["seconds"])


def _probe_activations(setting: Setting) -> None:
    """Check the dtypes of activations and logits in one forward over a few tokens."""
    tokens = torch.full((1, 2), setting.pad_id, device=setting.device)
    with torch.no_grad(), setting.contract.check_activations(setting.model):
        logits = setting.model(tokens).logits
    wanted = "float32" if setting.mode.logits_fp32 else setting.mode.compute
    setting.contract.check("logits", wanted, [("logits", logits)])


def train_policy(job: TrainingJob, files: TrainingFiles) -> None:
    """Train from `files.base` on `files.problems`; resume from a checkpoint where one fits.

    Deterministic modes give the same weight hash on every run with the same job, inputs, code and machine.
    """
    mode = resolve_mode(job.mode, job.dropout_rate)
    flags = configure_arithmetic(job.compute_threads, mode.deterministic, job.seed)
    device = resolve_device(job.device)
    problems = read_problems(files.problems)
    inputs = hash_inputs({"base": files.base, "problems": files.problems})
    tokenizer = load_tokenizer(files.base)
    model = _load(files.base, mode.master, mode, device)
    base = _load(files.base, mode.compute, mode, device)
    optimizer = _make_optimizer(model, mode, job)
    contract = DtypeContract(mode)
    contract.check_parameters(model)
    checkpoints = Path(files.checkpoints)
    sampling = job.training.sampling
    with (
        open_engine(model, tokenizer, torch_dtype(mode.rollout), sampling.max_batch_rows, device) as engine,
        Judge() as judge,
    ):
        contract.check_rollout(engine.named_weights())
        setting = Setting(
            config=job.training,
            seed=job.seed,
            template=job.template,
            mode=mode,
            problems=problems,
            device=device,
            pad_id=tokenizer.pad_token_id,
            model=model,
            base=base,
            optimizer=optimizer,
            engine=engine,
            judge=judge,
            contract=contract,
            tracker=WeightTracker(model, dict(base.named_parameters())),
        )
        _probe_activations(setting)
        identity = _identity(job, inputs, device)
        state = _restore(setting, checkpoints, identity)
        snapshots = checkpoints / "snapshots"

        def save(now: TrainingState) -> None:
            save_checkpoint(
                checkpoints,
                now.step,
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "metrics": now.metrics,
                    "rollouts": now.rollouts,
                    "seconds": now.seconds,
                },
                identity,
            )

        def save_weights(folder: Path) -> None:
            with atomic_path(folder) as temporary:
                temporary.mkdir()
                save_policy(model, tokenizer, temporary, read_config(files.base))

        train(setting, state, save, lambda step: save_weights(snapshots / f"step{step}"))
    contract.check_optimizer(optimizer)
