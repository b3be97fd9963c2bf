"""An arm of supervised fine-tuning or of expert iteration, seed by seed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rlvr.alignment.arm import train_seeds, train_to_an_end
from rlvr.alignment.job import ArmFiles, ArmInputs, ExpertIterationJob, SftJob
from rlvr.alignment.results import (
    Row,
    SeedResult,
    close_validation,
)
from rlvr.alignment.setup import Setup
from rlvr.alignment.supervised import SeedRun
from rlvr.models.weights import weight_hash
from rlvr.sigterm import end_after, noted_sigterm
from rlvr.training.checkpoint import load_checkpoint, save_checkpoint
from rlvr.verify.registry import Judge, describe_isolation


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


def _train(run: SeedRun, method: Method, save: Callable[[], None]) -> None:
    """Train to the last step, validating on the way; `save` is called after each validation.

    After a SIGTERM the step is finished and saved, and Terminated raised.
    """
    state = run.state
    if not state.validation:
        run.validate()
    with noted_sigterm() as sigterm:
        while state.step < method.steps:
            _step(run, method)
            validating = state.step % method.validate_every == 0 and state.step < method.steps
            if validating:
                run.validate()
            if sigterm.came:
                save()
                end_after(f"step {state.step} of {method.steps}")
            if validating:
                save()


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
        "dtypes": run.dtypes,
        "isolation": describe_isolation(run.setup.final_problems),
        **method.facts,
    }


def _save(run: SeedRun, folder: Path, identity: str) -> None:
    save_checkpoint(folder, run.state.step, run.snapshot(), identity)


@dataclass(frozen=True)
class _SeedTrainer:
    """A `SeedTrainer`: see `train_arm`."""

    job: SftJob | ExpertIterationJob
    setup: Setup
    rows: int
    make_method: Callable[[SeedRun], Method]

    def __call__(
        self, seed: int, judge: Judge, checkpoints: Path, identity: str
    ) -> tuple[SeedResult, Callable[[Path], None]]:
        run = SeedRun(self.setup, self.job, seed, judge, self.rows)
        with run.engine:
            method = self.make_method(run)
            if found := load_checkpoint(checkpoints, identity):
                run.restore(found[1])
            broken = train_to_an_end(
                train=partial(_train, run, method, partial(_save, run, checkpoints, identity)),
                validate=partial(run.validate, final=True),
                steps_done=lambda: run.state.step,
                return_to_validated=run.return_to_validated,
            )
        validation = close_validation(run.state.validation, self.job.common.collapse_share, broken)
        record = _record(run, method, validation[-1])
        result = SeedResult(seed, run.state.metrics, validation, run.state.generations, record)
        return result, run.save_policy


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
    """Train every seed of an arm, see `train_seeds`.

    A seed that diverges is recorded as such and does not stop the others. `name` of the method; `rows` of
    an update.
    """
    setup = Setup.open(job.common, inputs.base, inputs.validation)
    train_seed = _SeedTrainer(job, setup, rows, make_method)
    train_seeds(name, job, inputs, files, verification_workers, code, train_seed, facts={})
