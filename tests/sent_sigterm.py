"""A SIGTERM at a chosen place of a job that runs in the test's own process."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from rlvr.sigterm import Terminated


def end_by_sigterm(monkeypatch: Any, owner: Any, name: str, call: int, job: Callable[[], None]) -> None:
    """Send a SIGTERM in the middle of the `call`-th call of `owner.name`; `job()` must end by it."""
    original, calls = getattr(owner, name), []

    def signalled(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, signalled)
        with pytest.raises(Terminated):
            job()
    assert len(calls) == call, "the job went on after the step in which the signal came"
