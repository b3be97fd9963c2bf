"""A job whose Snakemake has died."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rlvr.training import completion


def ended_process() -> int:
    """Id of a process that has run and ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@contextmanager
def orphaned(monkeypatch: Any) -> Iterator[None]:
    """While active, this process counts as started by one that has ended."""
    with monkeypatch.context() as patch:
        patch.setattr(completion, "_starter", ended_process())
        yield
