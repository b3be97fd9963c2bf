"""Faults of numbers: a loss or gradient that is not finite."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

from fault_bed import STEPS, BadEnd, Bed, Trial, in_words, outputs
from fault_kinds import stopped_in
from tiny_run import TRAINING, rows_without_times
from torch import Tensor

from rlvr.files import read_json
from rlvr.training.batch import TrainingBatch
from rlvr.training.update import Updater, UpdateResult

UPDATES = TRAINING["minibatches"]


def break_numbers(bed: Bed, chance: random.Random) -> Trial:
    step, kind = chance.randint(1, STEPS), chance.choice(("nan in the loss", "nan", "inf"))
    order = bed.new_order(inside=partial(broken_numbers, step, chance.randrange(UPDATES), kind))
    said = stopped_in(bed, order, step, f"FloatingPointError: step {step}: ")
    return Trial(f"step {step}, {kind}", "clear error, then same hashes", said)


def skip_update(bed: Bed, chance: random.Random) -> Trial:
    step, number = chance.randint(1, STEPS), chance.randrange(UPDATES)
    kind = chance.choice(("nan", "inf"))
    order = bed.new_order(mode="fp16_mixed", inside=partial(broken_numbers, step, number, kind))
    run = bed.start(order)
    if run.end() != 0:
        raise BadEnd(f"{in_words(run.end())}:\n{run.log()}")
    rows = rows_without_times(outputs(order))
    numbers = [float(value) for row in rows for value in row.values() if value]
    if not int(rows[step - 1]["updates_skipped"]) or not all(map(math.isfinite, numbers)):
        raise BadEnd(f"no update was skipped, or a number is not finite:\n{rows}")
    (said,) = (note for note in read_json(order.files.provenance)["notes"] if "skipped" in note)
    return Trial(f"step {step}, update {number + 1}, {kind}", "skipped and recorded", said)


@contextmanager
def broken_numbers(step: int, number: int, kind: str) -> Iterator[None]:
    """While active, one update of a step has a loss or a gradient that is not finite."""
    apply, accumulate = Updater._apply, Updater._accumulate

    def broken_apply(self: Updater, at: int, update: int) -> tuple[float, bool]:
        if (at + 1, update) == (step, number):
            for parameter in self.model.parameters():
                parameter.grad.mul_(math.inf if kind == "inf" else math.nan)
        return apply(self, at, update)

    def broken_loss(
        self: Updater, batch: TrainingBatch, rows: Tensor, place: tuple[int, int]
    ) -> UpdateResult:
        if (place[0] + 1, place[1]) == (step, number):
            batch.advantages.mul_(math.nan)
        return accumulate(self, batch, rows, place)

    name, broken = ("_accumulate", broken_loss) if "loss" in kind else ("_apply", broken_apply)
    with mock.patch.object(Updater, name, broken):
        yield
