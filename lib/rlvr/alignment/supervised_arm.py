"""An arm of supervised fine-tuning or of expert iteration, seed by seed."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rlvr.alignment.job import ArmFiles, ArmInputs, ExpertIterationJob, SftJob
from rlvr.alignment.results import (
    Row,
    SeedResult,
    arm_header,
    checkpoints_of,
    close_validation,
    load_finished,
    save_finished,
    write_arm,
)
from rlvr.alignment.setup import Setup
from rlvr.alignment.supervised import SeedRun, require_supervised
from rlvr.devices import arithmetic_identity
from rlvr.models.weights import weight_hash
from rlvr.provenance import hash_inputs, resume_identity
from rlvr.training.checkpoint import load_checkpoint, only_process, save_checkpoint
from rlvr.verify.registry import Judge, describe_isolation

logger = logging.getLogger(__name__)


class Method(Protocol):
    """A way of training one seed, in `steps` steps.

    `validate_every`: steps between validations; `columns` of its row of metrics; `facts` for the provenance.
    """

    steps: int
    validate_every: int
    columns: tuple[str, ...]
    facts: dict[str, Any]

    def step(self) -> Row:
        """Train one step; a row of `columns`."""


def _step(run: SeedRun, method: Method) -> None:
    """One step of the method and its row of metrics; one that is broken off has a row of empty cells."""
    state = run.state
    started = time.perf_counter()
    values: Row = dict.fromkeys(method.columns, math.nan)
    try:
        values = method.step()
    finally:
        seconds = time.perf_counter() - started
        state.seconds += seconds
        state.metrics.append({"step": state.step + 1, **values, "seconds": seconds})
    state.step += 1


def train_seed(run: SeedRun, method: Method, save: Callable[[], None]) -> str:
    """Train to the end, or until a number is not finite; returns which, or "".

    The model then has its last weights; if these cannot be sampled from, those of the last validation before.
    `save` is called after each validation on the way.
    """
    state = run.state
    if not state.validation:
        run.validate()
    try:
        while state.step < method.steps:
            _step(run, method)
            if state.step % method.validate_every == 0 and state.step < method.steps:
                run.validate()
                save()
        run.validate(final=True)
        return ""
    except FloatingPointError as error:
        broken = f"after {state.step} steps: {error}"
    logger.warning("the run has diverged: %s", broken)
    try:
        run.validate(final=True)
    except FloatingPointError:
        broken += f"; the policy is that of step {run.return_to_validated()}, which was the last validated"
        run.validate(final=True)
    return broken


def _record(run: SeedRun, method: Method, last: Row) -> dict[str, Any]:
    """What the provenance says of a seed."""
    state = run.state
    counts = ("updates", "rollouts", "tokens_sampled", "tokens_trained", "seconds")
    return {
        "seed": run.seed,
        "steps": state.step,
        **{name: getattr(state, name) for name in counts},
        "diverged": last["diverged"],
        "reason": last["reason"],
        "weight_hash": weight_hash(run.model.named_parameters()),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "flags": run.flags,
        "dtypes": run.contract.realised,
        "isolation": describe_isolation(run.setup.final_problems),
        **method.facts,
    }


def _save(run: SeedRun, folder: Path, identity: str) -> None:
    save_checkpoint(folder, run.state.step, run.snapshot(), identity)


@dataclass(frozen=True)
class _Arm:
    """An arm and the seeds of it."""

    name: str
    job: SftJob | ExpertIterationJob
    files: ArmFiles
    hashes: dict[str, str]
    code: str
    setup: Setup
    rows: int
    make_method: Callable[[SeedRun], Method]

    def _identity(self, seed: int) -> str:
        mode = self.job.common.mode
        arithmetic = arithmetic_identity(self.setup.device, (mode.compute, mode.rollout))
        return resume_identity([asdict(self.job), seed], self.hashes, self.code, arithmetic)

    def train(self, seed: int, judge: Judge) -> SeedResult:
        """One seed from the base to its end, or from where an interrupted job has left it."""
        identity = self._identity(seed)
        if finished := load_finished(self.files, seed, identity):
            return finished
        folder = checkpoints_of(self.files, seed)
        run = SeedRun(self.setup, self.job, seed, judge, self.rows)
        with run.engine:
            method = self.make_method(run)
            if found := load_checkpoint(folder, identity):
                run.restore(found[1])
            broken = train_seed(run, method, partial(_save, run, folder, identity))
        validation = close_validation(run.state.validation, self.job.common.collapse_share, broken)
        record = _record(run, method, validation[-1])
        result = SeedResult(seed, run.state.metrics, validation, run.state.generations, record)
        save_finished(self.files, result, identity, run.save_policy)
        return result


def train_arm(
    name: str,
    job: SftJob | ExpertIterationJob,
    inputs: ArmInputs,
    files: ArmFiles,
    verification_workers: int,
    code: str,
    rows: int,
    make_method: Callable[[SeedRun], Method],
) -> None:
    """Train every seed of an arm and write its outputs; resume where an interrupted job has left it.

    A seed that diverges is recorded as such and does not stop the others. `name` of the method; `rows` of
    an update; `code`: digest of the code that is run. A mode that `require_supervised` refuses: UserError.
    """
    require_supervised(job.common.mode)
    setup = Setup.open(job.common, inputs.base, inputs.validation)
    hashes = hash_inputs(asdict(inputs))
    arm = _Arm(name, job, files, hashes, code, setup, rows, make_method)
    with only_process(files.checkpoints), Judge(verification_workers, job.common.verification) as judge:
        results = []
        for seed in range(1, job.common.seeds + 1):
            logger.info("arm %s, seed %d of %d", job.arm, seed, job.common.seeds)
            results.append(arm.train(seed, judge))
        write_arm(files, results, arm_header(name, job, hashes, code))
