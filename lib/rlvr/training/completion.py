"""The end of a job: its checkpoints go, unless nobody is left to record that it has succeeded.

After `kill -9` of Snakemake its jobs on this machine live on. What such an orphan writes counts as incomplete
for the next run, which deletes it and starts the same job again. So an orphan leaves a checkpoint after its
last step, and the job that is started again only writes the outputs once more.
"""

import logging
from pathlib import Path

from rlvr.files import remove
from rlvr.liveness import process_runs, starting_process

logger = logging.getLogger(__name__)

_starter = starting_process()


def starter() -> int:
    """Id of the process that started this job: Snakemake's, on this machine or on a cluster's."""
    return _starter


def count_as_started_by(process: int) -> None:
    """For a process that shares a job with others: its own starter is only the job's first process."""
    global _starter  # noqa: PLW0603 - a fact about the process
    _starter = process


def is_orphan() -> bool:
    """Whether the process that started this job has ended, so that the outputs will count as incomplete."""
    return not process_runs(_starter)


def release_checkpoints(folder: str | Path) -> None:
    """Remove the checkpoints of a job that has succeeded; an orphan's stay for the job in its place."""
    if is_orphan():
        logger.warning(
            "the process that started this job has ended: the next run will ask for these outputs again, and "
            "finds them by the checkpoints in %s, which stay",
            folder,
        )
    else:
        clear_checkpoints(folder)


def clear_checkpoints(folder: str | Path) -> None:
    """Remove checkpoints that nobody needs; a kill in the middle leaves no half of them."""
    folder = Path(folder)
    cleared = folder.with_name(f".{folder.name}.cleared")
    remove(cleared)
    if folder.is_dir():
        folder.rename(cleared)
        remove(cleared)
