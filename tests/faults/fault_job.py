"""The job that faults strike: a training run of the tiny policy, in a process of its own.

It is forked from a process that has torch loaded, so that a trial takes a second and not ten.
"""

import multiprocessing
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess

from rlvr.joblog import log_to
from rlvr.training.owner import Pulse, WhenTaken, only_process
from rlvr.training.run import TrainingFiles, run_training
from rlvr.training.trainer import TrainingJob

# For claims of machines that are never heard of again.
PULSE = Pulse(every=0.2, dead_after=2.0)
CODE = "code of the trials"
# What a job imports, and takes long. The process that forks finds installed modules only.
LOADED = ["rlvr.training.run", "rlvr.training.owner", "transformers", "tensorboardX", "psutil"]


@dataclass(frozen=True)
class Order:
    """A job and its log. `inside`: makes the context in which it runs, in its process."""

    job: TrainingJob
    files: TrainingFiles
    log: str
    inside: Callable[[], AbstractContextManager[None]] = nullcontext
    when_taken: WhenTaken = "stop"
    workers: int = 1

    def undisturbed(self, log: str) -> "Order":
        """The same command, with nothing wrong."""
        return replace(self, log=log, inside=nullcontext, when_taken="stop")


def work(order: Order) -> None:
    """Do the job as the adaptor of its rule does."""
    log_to(order.log)
    try:
        with order.inside(), only_process(order.files.checkpoints, order.when_taken, PULSE):
            run_training(order.job, order.files, order.workers, CODE)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def start(order: Order) -> BaseProcess:
    """Start the job."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    process = context.Process(target=work, args=(order,))
    process.start()
    return process
