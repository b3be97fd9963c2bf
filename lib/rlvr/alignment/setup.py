"""With what the policies of the study are sampled and validated, whatever trains them."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from torch import device as Device

from rlvr.alignment.job import Common
from rlvr.arithmetic import configure_arithmetic
from rlvr.data.choice import choose_problems
from rlvr.data.problem import Problem, read_problems
from rlvr.devices import check_dtypes, resolve_device
from rlvr.models.label_scores import MAX_LOGITS
from rlvr.models.loading import load_tokenizer
from rlvr.models.policy_model import PolicyModel
from rlvr.models.tokenizers import TextTokenizer
from rlvr.precision import torch_dtype
from rlvr.rollout.engine import RolloutEngine, SamplingParams
from rlvr.rollout.opening import open_engine
from rlvr.training.groups import training_sampling
from rlvr.training.validation import Validator


@dataclass(frozen=True)
class Setup:
    """What all seeds of an arm share. `problems` validate during the training, `final_problems` after it."""

    common: Common
    base: str
    device: Device
    tokenizer: TextTokenizer
    problems: list[Problem]
    final_problems: list[Problem]

    @classmethod
    def open(cls, common: Common, base: str, validation: str) -> Self:
        """From the folder of the base policy and the file of validation problems.

        A device that cannot compute in the mode's dtypes is a UserError.
        """
        device = resolve_device(common.device)
        check_dtypes(device, {common.mode.compute, common.mode.rollout})
        problems = read_prompted(validation, common)
        choose = partial(choose_problems, problems, seed=common.validation.seed)
        chosen, final = choose(common.validation.rows), choose(common.validation.final_rows)
        return cls(common, base, device, load_tokenizer(base), chosen, final)

    @property
    def sampling(self) -> SamplingParams:
        """How responses are drawn, in training and in validation."""
        return training_sampling(self.common.generation)

    def configure(self, seed: int) -> dict[str, Any]:
        """Set the process-wide switches of the arithmetic; returns them, for provenance."""
        mode = self.common.mode
        return configure_arithmetic(self.common.compute_threads, mode.deterministic, seed)

    def open_engine(self, model: PolicyModel) -> RolloutEngine:
        """An engine with its own copy of the model's weights, in the mode's dtype of rollouts."""
        rows, dtype = self.common.generation.max_batch_rows, torch_dtype(self.common.mode.rollout)
        return open_engine(model, self.tokenizer, dtype, rows, self.device)

    def validator(self, seed: int, logged: int) -> Validator:
        """See `Validator`."""
        return Validator(
            self.problems,
            self.final_problems,
            self.common.prompt.template,
            self.sampling,
            seed,
            logged,
            self.tokenizer.pad_token_id,
            max(1, MAX_LOGITS // len(self.tokenizer)),
        )


def read_prompted(path: str, common: Common) -> list[Problem]:
    """The problems of a file, each with the verifier of the prompt that it will be asked with."""
    return [replace(problem, verifier=common.prompt.verifier) for problem in read_problems(path)]
