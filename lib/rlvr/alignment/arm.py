"""All seeds of an arm, one after the other, whatever trains them."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from rlvr.alignment.job import (
    ArmFiles,
    ArmInputs,
    ExpertIterationJob,
    GrpoJob,
    SftJob,
    unsupported_factors,
)
from rlvr.alignment.results import (
    Row,
    SeedResult,
    arm_header,
    checkpoints_of,
    load_finished,
    save_finished,
    validation_row,
    write_arm,
)
from rlvr.devices import arithmetic_identity, resolve_device
from rlvr.errors import UserError
from rlvr.models.policy_model import PolicyModel
from rlvr.provenance import hash_inputs, resume_identity
from rlvr.rollout.engine import RolloutEngine
from rlvr.training.owner import only_process
from rlvr.training.validation import Validator
from rlvr.verify.registry import Judge

logger = logging.getLogger(__name__)

# Given a seed, the judge, a folder for checkpoints and the identity that these must have: the result, and a
# function that writes the policy into a folder, which it makes.
SeedTrainer = Callable[[int, Judge, Path, str], tuple[SeedResult, Callable[[Path], None]]]


def train_seeds(
    method: str,
    job: SftJob | ExpertIterationJob | GrpoJob,
    inputs: ArmInputs,
    files: ArmFiles,
    verification_workers: int,
    code: str,
    train_seed: SeedTrainer,
    facts: Mapping[str, Any],
) -> None:
    """Train every seed of an arm and write its outputs; resume where an interrupted job has left it.

    `code`: digest of the code that is run. `facts` about the arm go into its provenance. A mode with a factor
    that not all methods compute is a UserError.
    """
    common = job.common
    if factors := unsupported_factors(common.mode):
        raise UserError(
            f"alignment.mode {common.mode.name} has {' and '.join(factors)}, which not all methods compute; "
            "choose a mode without, fp32 or bf16_mixed for example"
        )
    hashes = hash_inputs(asdict(inputs))
    dtypes = (common.mode.compute, common.mode.rollout)
    arithmetic = arithmetic_identity(resolve_device(common.device), dtypes)
    with only_process(files.checkpoints), Judge(verification_workers, common.verification) as judge:
        results = []
        for seed in range(1, common.seeds + 1):
            logger.info("arm %s, seed %d of %d", job.arm, seed, common.seeds)
            identity = resume_identity([asdict(job), seed], hashes, code, arithmetic)
            result = load_finished(files, seed, identity)
            if result is None:
                result, save_policy = train_seed(seed, judge, checkpoints_of(files, seed), identity)
                save_finished(files, result, identity, save_policy)
            results.append(result)
        write_arm(files, results, arm_header(method, job, hashes, code) | dict(facts))


class ValidatedState(Protocol):
    """What the state of a training has of its validations."""

    step: int
    seconds: float
    validation: list[Row]
    generations: list[Row]


def validate(
    state: ValidatedState,
    validator: Validator,
    model: PolicyModel,
    engine: RolloutEngine,
    judge: Judge,
    final: bool = False,
) -> dict[str, Tensor]:
    """Validate the weights as they are and add what it gives to `state`.

    Returns a copy of the weights, on the CPU, as some that can be sampled from; FloatingPointError if they
    cannot.
    """
    measured = validator.measure(model, engine, judge, state.step, final)
    state.validation.append(validation_row(measured.row, state.seconds))
    state.generations += measured.generations
    logger.info(
        "step %d: validation accuracy %.4f of %d problems, format %.4f",
        state.step,
        measured.row["accuracy"],
        measured.row["problems"],
        measured.row["format_rate"],
    )
    return copy_of_weights(model)


def copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    """On the CPU."""
    return {name: weight.cpu().clone() for name, weight in model.state_dict().items()}


def train_to_an_end(
    train: Callable[[], None],
    validate: Callable[[], None],
    steps_done: Callable[[], int],
    return_to_validated: Callable[[], int],
) -> str:
    """Train and validate at the end, also where a number that is not finite is the end; returns which, or "".

    The model then has its last weights. If these cannot be sampled from, `return_to_validated` gives it those
    of the last validation before, and says which step that was.
    """
    try:
        train()
        validate()
        return ""
    except FloatingPointError as error:
        broken = f"after {steps_done()} steps: {error}"
    logger.warning("the run has diverged: %s", broken)
    try:
        validate()
    except FloatingPointError:
        broken += f"; the policy is that of step {return_to_validated()}, which was the last validated"
        validate()
    return broken
