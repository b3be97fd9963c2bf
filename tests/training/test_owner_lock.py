"""One process on a folder of checkpoints: on one machine, across machines, after kills of every kind."""

import errno
import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from rlvr.errors import UserError
from rlvr.sigterm import STATUS
from rlvr.training import owner
from rlvr.training.claims import Owner, make_claim
from rlvr.training.owner import Pulse, only_process

QUICK = Pulse(every=0.05, dead_after=1.0)

# arguments: folder, machine (empty: the real one), stop | wait, whether locks reach it, seconds of a pulse
HOLDER = """
import fcntl, logging, sys, time
from rlvr.joblog import log_to
from rlvr.training import claims, owner
folder, machine, when_taken, locks = sys.argv[1:]
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
if machine:
    owner.this_machine = claims.this_machine = lambda: machine
if locks == "none":
    def refuse(*_):
        raise OSError(37, "No locks available")
    fcntl.flock = refuse
if locks == "local":
    fcntl.flock = lambda *_: None
from rlvr.sigterm import end_on_sigterm
end_on_sigterm()
with owner.only_process(folder, when_taken, owner.Pulse(0.05, 1.0)):
    print("in", flush=True)
    sys.stdin.read()
print("out", flush=True)
"""


@contextmanager
def holder(folder, machine="", when_taken="stop", locks="real", job=""):
    """A process that wants the folder and then keeps it until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(folder), machine, when_taken, locks]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, text=True, env=os.environ | {"SLURM_JOB_ID": job}, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def is_in(process):
    return process.stdout.readline() == "in\n"


def locks_are_local(monkeypatch):
    """As on a network file system that keeps locks to each machine."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


def there_are_no_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_the_owner_is_named_with_what_ends_it(tmp_path):
    folder = tmp_path / "rep1"
    with holder(folder) as first:
        assert is_in(first)
        wanted = rf"rep1 is in use by process {first.pid} on .*, since .*`kill {first.pid}` on .*wait in the"
        with pytest.raises(UserError, match=wanted), only_process(folder, pulse=QUICK):
            pass
    with holder(folder, job="8123") as first:
        assert is_in(first)
        wanted = rf"by SLURM job 8123 \(process {first.pid} on .*`scancel 8123`"
        with pytest.raises(UserError, match=wanted), only_process(folder, pulse=QUICK):
            pass


def test_nothing_is_left_behind(tmp_path):
    with only_process(tmp_path / "a" / "rep1", pulse=QUICK):
        (tmp_path / "a" / "rep1").mkdir()
        assert len(list((tmp_path / "a").iterdir())) == 3
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["rep1"]


def test_one_process_may_ask_again(tmp_path):
    with only_process(tmp_path / "rep1"):
        with only_process(tmp_path / "rep1"):
            pass
        with holder(tmp_path / "rep1") as other:
            assert "is in use by" in other.communicate()[1]
    with holder(tmp_path / "rep1") as other:
        assert is_in(other)


@pytest.mark.parametrize("locks", ["real", "none"])
def test_after_kill_9_the_folder_is_free_at_once(tmp_path, monkeypatch, caplog, locks):
    if locks == "none":
        there_are_no_locks(monkeypatch)
    with holder(tmp_path / "rep1", locks=locks) as first:
        assert is_in(first)
        with pytest.raises(UserError), only_process(tmp_path / "rep1", pulse=Pulse(0.05, 1000.0)):
            pass
        first.kill()
        first.wait()
        with only_process(tmp_path / "rep1", pulse=Pulse(0.05, 1000.0)):
            assert f"from process {first.pid} on" in caplog.text
            assert len(list(tmp_path.glob(".rep1.owner*"))) == 1


def test_a_sigterm_gives_the_folder_up(tmp_path):
    with holder(tmp_path / "rep1", machine="other", locks="local") as first:
        assert is_in(first)
        first.terminate()
        assert first.wait(20) == STATUS
        assert not list(tmp_path.glob(".rep1.owner*"))


@pytest.mark.parametrize("locks", ["local", "none"])
def test_an_owner_on_another_machine_is_respected_while_its_heart_beats(tmp_path, monkeypatch, locks):
    {"local": locks_are_local, "none": there_are_no_locks}[locks](monkeypatch)
    with holder(tmp_path / "rep1", machine="other", locks=locks) as first:
        assert is_in(first)
        with pytest.raises(UserError, match="in use by"), only_process(tmp_path / "rep1", pulse=QUICK):
            pass
        assert first.poll() is None


def test_a_silent_owner_on_another_machine_is_replaced(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    locks_are_local(monkeypatch)
    with holder(tmp_path / "rep1", machine="other", locks="local") as first:
        assert is_in(first)
        first.kill()
        first.wait()
        before = time.monotonic()
        with only_process(tmp_path / "rep1", pulse=QUICK):
            assert time.monotonic() - before > 0.5  # it could have been alive
            assert "looking up to 1 s whether that still lives" in caplog.text
            assert f"from process {first.pid} on" in caplog.text


@pytest.mark.parametrize("days", [-400, 400])
def test_a_jump_of_the_clock_neither_kills_an_owner_nor_keeps_a_dead_one(tmp_path, monkeypatch, days):
    locks_are_local(monkeypatch)
    pulse = Pulse(every=0.3, dead_after=1.5)
    dead = Owner("elsewhere", "other", 1, "", "then", "token")
    claim = make_claim(tmp_path / "rep1", 1, dead).path
    os.utime(claim, (time.time() + days * 86400,) * 2)
    with only_process(tmp_path / "rep1", pulse=pulse):
        pass
    with holder(tmp_path / "rep1", machine="other", locks="local") as first:
        assert is_in(first)
        (claim,) = tmp_path.glob(".rep1.owner*")
        os.utime(claim, (time.time() + days * 86400,) * 2)  # until its next heartbeat
        with pytest.raises(UserError, match="in use by"), only_process(tmp_path / "rep1", pulse=pulse):
            pass
        assert first.poll() is None


def test_an_owner_that_was_stopped_for_long_ends_when_it_finds_another(tmp_path, monkeypatch):
    locks_are_local(monkeypatch)
    with holder(tmp_path / "rep1", machine="other", locks="local") as first:
        assert is_in(first)
        first.send_signal(signal.SIGSTOP)
        with only_process(tmp_path / "rep1", pulse=QUICK):
            first.send_signal(signal.SIGCONT)
            assert first.wait(20) == 1
            assert f"process {os.getpid()} on" in first.stderr.read()
            assert list(tmp_path.glob(".rep1.owner*"))


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
@pytest.mark.parametrize(("machine", "locks"), [("", "real"), ("other", "local")])
def test_one_who_waits_gets_the_folder_when_the_owner_ends(tmp_path, machine, locks, end):
    with holder(tmp_path / "rep1", locks=locks) as first:
        assert is_in(first)
        with holder(tmp_path / "rep1", machine=machine, when_taken="wait", locks=locks) as second:
            while "waiting: " not in (line := second.stderr.readline()):
                assert line
            assert f"in use by process {first.pid} on" in line
            assert not select.select([second.stdout], [], [], 0)[0]
            first.send_signal(end) if end else first.stdin.close()
            first.wait()
            assert is_in(second)


def test_a_claim_that_was_never_finished_is_replaced(tmp_path):
    (tmp_path / ".rep1.owner000004").write_text('{"host": "n0')
    with only_process(tmp_path / "rep1", pulse=Pulse(0.05, 0.5)):
        (claim,) = tmp_path.glob(".rep1.owner*")
        assert claim.name == ".rep1.owner000005"
        assert json.loads(claim.read_text())["pid"] == os.getpid()


def test_a_claim_that_somebody_removed_is_made_again(tmp_path):
    with only_process(tmp_path / "rep1", pulse=QUICK):
        (claim,) = tmp_path.glob(".rep1.owner*")
        claim.unlink()
        deadline = time.monotonic() + 20
        while not claim.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


WITNESS = """
import fcntl, logging, os, random, sys, time
logging.basicConfig(level=logging.INFO)
from pathlib import Path
from rlvr.training import claims, owner
folder, machine, locks, seed = sys.argv[1:]
if machine:
    owner.this_machine = claims.this_machine = lambda: machine
if locks == "none":
    def refuse(*_):
        raise OSError(37, "No locks available")
    fcntl.flock = refuse
owner.POLL_SECONDS = 0.02
chance = random.Random(int(seed))
with owner.only_process(folder, "wait", owner.Pulse(0.05, 2.0)):
    with open(folder + ".witness", "x"):
        pass
    time.sleep(chance.uniform(0, 0.1))
    os.unlink(folder + ".witness")
    if chance.random() < 0.3:
        os.kill(os.getpid(), 9)
with open(folder + f".done{seed}", "w"):
    pass
"""


@pytest.mark.parametrize(("machines", "locks"), [(1, "real"), (3, "none")])
def test_many_that_wait_never_meet(tmp_path, machines, locks):
    """A third of them is killed while it owns the folder; the witness file would fail a second one inside."""
    folder = str(tmp_path / "rep1")
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WITNESS,
                folder,
                f"machine{seed % machines}" if machines > 1 else "",
                locks,
                str(seed),
            ]
        )
        for seed in range(12)
    ]
    statuses = [process.wait(120) for process in processes]
    assert set(statuses) == {0, -signal.SIGKILL}
    assert len(list(tmp_path.glob("rep1.done*"))) == statuses.count(0)


def test_the_rest_of_a_process_can_own_a_folder(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom rlvr.training.owner import only_process, own_until_exit\n"
        "folder = Path(sys.argv[1])\nown_until_exit(folder, 'stop')\n"
        "print(len(list(folder.parent.glob('.rep1.*'))))\n"
        "with only_process(folder): pass\n"
        "print(len(list(folder.parent.glob('.rep1.*'))))\nraise ValueError"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "rep1")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "2"]
    assert "ValueError" in done.stderr
    assert not list(tmp_path.iterdir())


def test_defaults_leave_room_for_slow_file_systems():
    assert owner.Pulse().dead_after >= 4 * owner.Pulse().every
