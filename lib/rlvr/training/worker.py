"""One of the processes that share a training job: `torchrun ... -m rlvr.training.worker FOLDER`.

The folder holds the job (`rlvr.training.launch` writes it), and what the processes say of themselves: the id
of each, its log (the first one writes into the job's), and what it failed of.
"""

import logging
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rlvr.config.build import build
from rlvr.errors import UserError
from rlvr.files import read_json, write_json, write_text
from rlvr.joblog import log_lines, log_to
from rlvr.sigterm import Terminated
from rlvr.training.completion import count_as_started_by
from rlvr.training.run import TrainingFiles, run_training
from rlvr.training.trainer import TrainingJob

logger = logging.getLogger(__name__)

# One that waits for the others for so long ends: much more than a slow step or a slow verifier takes.
TIMEOUT_HOURS = 4.0
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class SharedJob:
    """What `run_training` is called with; `started_by`: the process that started the job."""

    job: TrainingJob
    files: TrainingFiles
    verification_workers: int
    code: str
    started_by: int

    def write(self, folder: Path) -> None:
        """Write the job where the processes read it."""
        write_json(folder / "job.json", asdict(self))


@dataclass(frozen=True)
class Failure:
    """Why a process has ended, and when (seconds since 1970): what the others then miss comes later."""

    rank: int
    time: float
    message: str
    is_user_error: bool

    def write(self, folder: Path) -> None:
        """Leave it to the launcher."""
        write_json(folder / f"rank{self.rank}.failure.json", asdict(self))


def log_file(folder: Path, rank: int) -> Path:
    """The log of a process other than the first."""
    return folder / f"rank{rank}.log"


def process_ids(folder: Path) -> list[int]:
    """Of the processes that have started."""
    return [int(file.read_text()) for file in folder.glob("rank*.pid")]


def failures(folder: Path) -> list[Failure]:
    """Of the processes that could say why they ended, the first one first."""
    found = [build(Failure, read_json(file)) for file in folder.glob("rank*.failure.json")]
    return sorted(found, key=lambda failure: failure.time)


def work(folder: Path) -> None:
    """Take part in the job of a folder, by the environment that torchrun sets."""
    rank = int(os.environ["RANK"])
    if rank:
        log_to(log_file(folder, rank))
    else:
        log_lines()
    _end_with_parent()
    write_text(folder / f"rank{rank}.pid", str(os.getpid()))
    try:
        _train(build(SharedJob, read_json(folder / "job.json")))
    except Terminated:
        raise
    except BaseException as error:
        Failure(rank, time.time(), str(error) or type(error).__name__, isinstance(error, UserError)).write(
            folder
        )
        raise


def _train(shared: SharedJob) -> None:
    import torch

    from rlvr.devices import resolve_device
    from rlvr.processes import join_processes

    device = resolve_device(shared.job.device)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    join_processes(device, TIMEOUT_HOURS)
    count_as_started_by(shared.started_by)
    run_training(shared.job, shared.files, shared.verification_workers, shared.code)
    torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    """End this process soon after the one that started it: a killed job leaves nothing that writes."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        logger.critical("the process that started this one is gone; it ends")
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
