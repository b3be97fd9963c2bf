"""What a fault is: how it strikes a job, and the end that is demanded of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from fault_bed import Bed, Moment, Run, TooLate, Trial, why_no_mounts
from fault_job import Order


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
