"""One seed of supervised fine-tuning or of expert iteration: its updates, validations and checkpoints."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rlvr.alignment.arm import validate
from rlvr.alignment.job import ExpertIterationJob, SftJob
from rlvr.alignment.results import Row
from rlvr.alignment.setup import Setup
from rlvr.models.attention import AttentionDropout
from rlvr.models.loading import read_config, save_policy
from rlvr.precision import torch_dtype
from rlvr.rollout.streams import named_generator
from rlvr.training.dtype_contract import DtypeContract
from rlvr.training.gradients import clip_gradients
from rlvr.training.optimizer import make_optimizer, trainable_policy
from rlvr.training.sft import accumulate_gradients, finite_norm
from rlvr.verify.registry import Judge

Tokens = Sequence[int]


@dataclass
class SeedState:
    """What changes in a training: all of it is in a checkpoint.

    `seconds` are of training alone, without validation. Tokens are those of responses: `tokens_trained`
    counts one as often as it was in an update.
    """

    step: int = 0
    seconds: float = 0.0
    updates: int = 0
    rollouts: int = 0
    tokens_sampled: int = 0
    tokens_trained: int = 0
    metrics: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    generations: list[Row] = field(default_factory=list)


class SeedRun:
    """One seed in training: weights, optimiser, engine, judge, and where it stands.

    `rows` of an update.
    """

    def __init__(self, setup: Setup, job: SftJob | ExpertIterationJob, seed: int, judge: Judge, rows: int):
        self.setup, self.seed, self.judge = setup, seed, judge
        self.mode, self.settings = job.common.mode, job.settings
        self.optimization = job.common.optimization
        self.flags = setup.configure(seed)
        self.model = trainable_policy(setup.base, self.mode, setup.device)
        self.engine = setup.open_engine(self.model)
        self.optimizer = make_optimizer(
            self.model,
            self.mode,
            job.settings.learning_rate,
            self.optimization.betas,
            self.optimization.eps,
            self.optimization.weight_decay,
            seed,
        )
        self.microbatch_size = math.ceil(rows / job.settings.gradient_accumulation_steps)
        logged = job.common.validation.logged
        self.validator = setup.validator(seed, logged)
        self.contract = DtypeContract(self.mode)
        self.contract.check_parameters(self.model)
        self.contract.check_rollout(self.engine.named_weights())
        self.state = SeedState()
        self._validated: dict[str, torch.Tensor] = {}
        self._dtypes_before: dict[str, str] = {}

    @property
    def dtypes(self) -> dict[str, str]:
        """As realised, by this process or by the one whose checkpoint it goes on from."""
        return self._dtypes_before | self.contract.realised

    def update(self, prompts: Sequence[Tokens], responses: Sequence[Tokens]) -> tuple[float, float]:
        """One optimiser step on the responses' tokens; the loss in nats a token, and the gradient's norm.

        A number that is not finite raises FloatingPointError, before the weights are touched.
        """
        self.optimizer.zero_grad()
        with self._watched_activations():
            loss = accumulate_gradients(
                self.model,
                prompts,
                responses,
                self.setup.tokenizer.pad_token_id,
                self.settings.gradient_accumulation_steps,
                self._dropout(),
                torch_dtype(self.mode.logits),
            )
        if "reduce" not in self.contract.realised:
            self.contract.check_gradients(self.model)
        norm = finite_norm(clip_gradients(list(self.model.parameters()), self.optimization.max_grad_norm))
        self.optimizer.step()
        if "optimizer_state" not in self.contract.realised:
            self.contract.check_optimizer(self.optimizer)
        self.state.updates += 1
        self.state.tokens_trained += sum(map(len, responses))
        return loss, norm

    def _watched_activations(self) -> AbstractContextManager[None]:
        """Checks the dtypes of activations in the first forward."""
        if "compute" in self.contract.realised:
            return nullcontext()
        return self.contract.check_activations(self.model)

    def _dropout(self) -> Mapping[str, Any]:
        if not self.mode.dropout.rate:
            return {}
        seed = int(named_generator("dropout", self.seed, self.state.updates).integers(2**63))
        generator = torch.Generator(self.setup.device).manual_seed(seed)
        return {"dropout": AttentionDropout(self.mode.dropout, generator)}

    def validate(self, final: bool = False) -> None:
        """Validate the weights as they are; FloatingPointError if they cannot be sampled from."""
        self._validated = validate(self.state, self.validator, self.model, self.engine, self.judge, final)

    def return_to_validated(self) -> int:
        """Take back the weights of the last validation; the step that it followed."""
        self.model.load_state_dict(self._validated)
        return self.state.validation[-1]["step"]

    def snapshot(self) -> dict[str, Any]:
        """Everything that an exact resume needs, once there was a validation."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "dtypes": self.dtypes,
            "validated": self._validated,
            "state": vars(self.state),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Continue from what `snapshot` returned."""
        self.model.load_state_dict(snapshot["model"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.state = SeedState(**snapshot["state"])
        self._dtypes_before = snapshot["dtypes"]
        self._validated = snapshot["validated"]

    def save_policy(self, folder: Path) -> None:
        """Write the policy in Hugging Face format into a folder, which is made."""
        folder.mkdir()
        save_policy(self.model, self.setup.tokenizer, folder, read_config(self.setup.base))
