"""Faults of processes: killed, told to end, doubled, reading what another writes."""

import os
import random
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
from fault_bed import STEPS, BadEnd, Bed, Moment, TooLate, Trial, draw_moment, in_words, outputs, resumed
from fault_kinds import struck
from pooled_judge import pooled_judge
from tiny_run import TRAINING

from rlvr.sigterm import STATUS

JUDGEMENTS = STEPS * 4 * TRAINING["group_size"]
LISTINGS = 1000


def kill_job(bed: Bed, chance: random.Random) -> Trial:
    moment = draw_moment(chance)
    run = struck(bed, bed.new_order(), moment, lambda run: run.process.kill())
    return Trial(str(moment), "same hashes", resumed(bed.rerun(run.order)))


def terminate_job(bed: Bed, chance: random.Random) -> Trial:
    moment = draw_moment(chance)
    run = struck(bed, bed.new_order(), moment, lambda run: run.process.terminate())
    if not run.log():  # it came before the job had opened its log
        raise TooLate
    if run.end() != STATUS:
        raise BadEnd(f"{in_words(run.end())} after SIGTERM:\n{run.log()}")
    said = run.demand("ended by SIGTERM after|SIGTERM: the job ends here")
    bed.rerun(run.order)
    return Trial(str(moment), "same hashes", said)


def kill_worker(bed: Bed, chance: random.Random) -> Trial:
    run = bed.start(bed.new_order(inside=pooled_judge, workers=2))
    moment = draw_moment(chance, first_step=1)
    bed.wait_for(run, moment)
    try:
        workers = psutil.Process(run.process.pid).children()
        if not workers:
            raise TooLate
        chance.choice(workers).kill()
    except psutil.NoSuchProcess:
        raise TooLate from None
    bed.demand_success(run)
    return Trial(str(moment), "same hashes", "(another worker does its task)")


def crash_worker(bed: Bed, chance: random.Random) -> Trial:
    task = chance.randrange(1, JUDGEMENTS)
    order = bed.new_order(workers=2)
    mark = Path(order.log).with_name("crashed")
    run = bed.start(replace(order, inside=partial(pooled_judge, str(mark), task)))
    bed.demand_success(run)
    if not mark.exists():
        raise BadEnd(f"no worker crashed:\n{run.log()}")
    return Trial(f"judgement {task}", "same hashes", "(another worker does its task)")


def start_second_job(bed: Bed, chance: random.Random) -> Trial:
    # The second takes a moment to start; the first should still be at work then.
    moment, when_taken = Moment(chance.randrange(3), chance.random()), chance.choice(("stop", "wait"))
    first = bed.start(bed.new_order())
    while not list(outputs(first.order).glob(".checkpoints.owner*")):
        if first.ended():
            raise TooLate
    bed.wait_for(first, moment)
    log = str(Path(first.order.log).with_name("second.log"))
    second = bed.start(replace(first.order, log=log, when_taken=when_taken))
    bed.demand_success(first)
    if second.end() == 0 and not re.search("waiting: ", second.log()):  # the first had ended
        raise TooLate
    said = second.demand(f"{'waiting' if when_taken == 'wait' else 'error'}: .* is in use by process")
    if (second.end() == 0) != (when_taken == "wait"):
        raise BadEnd(f"{in_words(second.end())}:\n{second.log()}")
    bed.demand_wanted(first.order)
    end = "same hashes" if when_taken == "wait" else "clear error, then same hashes"
    return Trial(f"{moment}, checkpoint_lock: {when_taken}", end, said)


def read_in_write(bed: Bed, chance: random.Random) -> Trial:
    order = bed.new_order()
    names, reads = _names(order.files.policy), 0
    run = bed.start(order)
    bed.wait_for(run, Moment(STEPS - 1, 0.2 * chance.random()))
    while not run.ended():
        for _ in range(LISTINGS):  # the time in which a folder is replaced is short
            found = _names(order.files.policy)
            if found not in (names, None):
                raise BadEnd(f"half of the policy's folder was seen: {found}")
            reads += 1
        bed.demand_whole(order)
    bed.demand_success(run)
    return Trial(f"{reads} readings", "same hashes", "(each file was the older or the new one)")


def _names(folder: str) -> list[str] | None:
    """The names in a folder; None if it is not there, or was replaced meanwhile."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        found = sorted(os.listdir(descriptor))
        return found if os.path.samestat(os.fstat(descriptor), os.stat(folder)) else None
    except FileNotFoundError:
        return None
    finally:
        os.close(descriptor)
