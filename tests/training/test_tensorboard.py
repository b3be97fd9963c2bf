import signal
from pathlib import Path

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.event_file_writer import EventsWriter

from rlvr.sigterm import Terminated, end_on_sigterm
from rlvr.training.tensorboard import write_tensorboard

ROWS = [{"step": step, "loss": 1.0 / step, "note": "no number"} for step in (1, 2, 3)]


@pytest.fixture
def ended_by_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    end_on_sigterm()
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("owner", [SummaryWriter.add_scalar, SummaryWriter.close], ids=["a row", "the end"])
def test_a_sigterm_waits_until_the_writer_has_let_go(owner, ended_by_sigterm, tmp_path, monkeypatch):
    """An exception under the writer's locks would leave it waiting for itself."""
    written = []

    def signalled(self, *arguments, **named):
        if not written:
            signal.raise_signal(signal.SIGTERM)
        written.append(owner.__name__)
        return owner(self, *arguments, **named)

    closed = []
    flush = EventsWriter.close
    monkeypatch.setattr(EventsWriter, "close", lambda self: (closed.append(1), flush(self))[1])
    monkeypatch.setattr(SummaryWriter, owner.__name__, signalled)
    with pytest.raises(Terminated):
        write_tensorboard(tmp_path / "tensorboard", ROWS)
    assert len(written) == (3 if owner.__name__ == "add_scalar" else 1)
    assert closed
    assert list(Path(tmp_path).iterdir()) == []  # nothing half-written
