"""Start a training job: in this process, or under torchrun in as many as it is to have GPUs."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from rlvr.devices import resolve_device
from rlvr.errors import UserError
from rlvr.files import remove
from rlvr.models.sharding import check_shardable
from rlvr.sigterm import Request, Terminated
from rlvr.sources import code_digest
from rlvr.training.completion import starter
from rlvr.training.owner import only_process
from rlvr.training.run import TrainingFiles, run_training
from rlvr.training.trainer import TrainingJob
from rlvr.training.worker import SharedJob, failures, log_file, process_ids

logger = logging.getLogger(__name__)

WORKER = "rlvr.training.worker"
LOG_LINES = 20


def launch_training(
    job: TrainingJob,
    files: TrainingFiles,
    verification_workers: int = 1,
    code: str | None = None,
    leased_gpus: int = 0,
) -> None:
    """`run_training`, by `trainer.gpus` processes that share the job, on one of `leased_gpus` GPUs each.

    On a machine without GPUs, or with `device: cpu`, the processes compute on the CPU. UserError for fewer
    GPUs than processes, and where a process ends before its work is done: it names the process, how it ended,
    and the end of its log. After a SIGTERM all processes finish their step and write a checkpoint.
    """
    code = code or code_digest(__file__)
    with only_process(files.checkpoints):
        if job.training.trainer.gpus == 1:
            run_training(job, files, verification_workers, code)
            return
        _check_gpus(job, leased_gpus)
        check_shardable(job.mode)
        # Beside the checkpoints, so that it is there after a failure and goes with them in the end.
        folder = Path(files.checkpoints) / "processes"
        remove(folder)
        folder.mkdir(parents=True)
        SharedJob(job, files, verification_workers, code, starter()).write(folder)
        _run_processes(folder, job.training.trainer.gpus)


def _check_gpus(job: TrainingJob, leased: int) -> None:
    wanted = job.training.trainer.gpus
    if resolve_device(job.device).type == "cuda" and leased < wanted:
        raise UserError(
            f"precision.training.trainer.gpus is {wanted}, but the job has {leased} GPUs: set "
            "resources.train_policy.gpu to as many at least, and Snakemake's limit (--resources gpu=...) "
            "not below it"
        )


def _run_processes(folder: Path, count: int) -> None:
    """Run the job of a folder in `count` processes, to the end."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What `torchrun --standalone` does; as a call it says which process has failed, and how.
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "torchrun")),
        # Not SIGTERM, at which torchrun would give the processes 30 s only.
        signals_to_handle="SIGINT",
    )
    logger.info("starting %d processes", count)
    with _sigterm_passed_on(folder) as request:
        try:
            elastic_launch(config, sys.executable)("-u", "-m", WORKER, str(folder))
        except ChildFailedError as error:
            if request.came:
                raise Terminated from None
            exit_codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
            raise UserError(_what_failed(folder, exit_codes)) from error
        except SignalException as error:
            raise KeyboardInterrupt from error


@contextmanager
def _sigterm_passed_on(folder: Path) -> Iterator[Request]:
    """While active, a SIGTERM is passed on to the processes, which end in order.

    Before any of them has started it ends this one. SIGINT is left as it was found, which torchrun changes.
    """
    request = Request()

    def pass_on(number: int, frame: FrameType | None) -> None:
        request.came = True
        started = process_ids(folder)
        logger.warning("SIGTERM: passed on to the job's %d processes", len(started))
        if not started:
            raise Terminated
        for process in started:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(process, signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, pass_on)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _what_failed(folder: Path, exit_codes: Mapping[int, int]) -> str:
    """In words: the process that failed first. `exit_codes`: of those that had ended when it was noticed."""
    said = failures(folder)
    silent = sorted(set(exit_codes) - {failure.rank for failure in said})
    killed = [rank for rank in silent if exit_codes[rank] < 0]
    if said and said[0].is_user_error:
        return said[0].message
    # A process that is killed says nothing, and what it leaves undone makes others fail after it.
    if killed or not said:
        rank = (killed or silent)[0]
        how = _exit_in_words(exit_codes[rank])
    else:
        rank, how = said[0].rank, f"failed: {said[0].message}"
    return (
        f"process {rank} of the job {how}; the same command goes on from the newest checkpoint, if there is "
        f"one. {_end_of_log(folder, rank)}"
    )


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name} (out of memory, or somebody's kill)"


def _end_of_log(folder: Path, rank: int) -> str:
    if rank == 0:
        return "What it said is above"
    file = log_file(folder, rank)
    lines = file.read_text(errors="replace").splitlines()[-LOG_LINES:] if file.exists() else []
    return "\n".join([f"The end of its log, {file}:", *lines])
