"""What a fault is: how it strikes a job, and the end that is demanded of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from fault_bed import BadEnd, Bed, Moment, Run, TooLate, Trial, in_words
from fault_job import Order
from fault_mounts import why_no_mounts


@dataclass(frozen=True)
class Fault:
    """A fault; `happens`: what the project makes of it, in words. `attempt` raises TooLate where the run was
    over before the fault came.
    """

    name: str
    happens: str
    attempt: Callable[[Bed, random.Random], Trial]
    needs_mounts: bool = False

    def why_not(self, bed: Bed) -> str:
        """Why it cannot be tried on this machine; "" if it can."""
        return why_no_mounts(bed.folder / "mount") if self.needs_mounts else ""

    def try_it(self, bed: Bed, chance: random.Random) -> Trial:
        """One trial; BadEnd if it ends otherwise than it must."""
        return bed.in_time(lambda: self.attempt(bed, chance))


def struck(bed: Bed, order: Order, moment: Moment, strike: Callable[[Run], object]) -> Run:
    """A run that a strike at that moment has ended, with whole files; TooLate if it ended well."""
    run = bed.start(order)
    bed.wait_for(run, moment)
    strike(run)
    if run.end() == 0:
        raise TooLate
    bed.demand_whole(order)
    return run


def stopped_in(bed: Bed, order: Order, step: int, pattern: str) -> str:
    """Demand that a run stops in that step with an error, and goes on from the step before; the error."""
    run = bed.start(order)
    if run.end() != 1:
        raise BadEnd(f"{in_words(run.end())}:\n{run.log()}")
    said = run.demand(pattern)
    bed.demand_untouched(order)
    if run.steps_saved() != step - 1:
        raise BadEnd(f"the newest checkpoint is that of step {run.steps_saved()}:\n{run.log()}")
    bed.rerun(order)
    return said
