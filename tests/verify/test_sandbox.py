import dataclasses
import os
import signal
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from rlvr.errors import UserError
from rlvr.verify.sandbox import (
    Limits,
    ProgramFailure,
    RemoteException,
    RemoteObject,
    Sandbox,
    isolation,
    probe_rungs,
)
from rlvr.verify.sandbox.grader import call_back
from rlvr.verify.sandbox.jail import LADDER, STRONG

LIMITS = Limits(memory_mb=512, value_mb=8)
ECHO = "def echo(x): return x"
CELL = """
class Cell:
    def __init__(self, value, *, step=1): self.value, self.step = value, step
    def add(self, n=1): self.value += n * self.step; return self.value
    def __call__(self, x): return x + self.value
    def __len__(self): return self.value
    def __getitem__(self, key): return [key, self.value]
    def __iter__(self): return iter(range(self.value))
    def same(self, other): return other is self
shared = Cell(40)
"""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(limits=LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=LADDER)
def rung_sandbox(request):
    """A sandbox for each rung of this machine."""
    if request.param not in [rung.name for rung in probe_rungs()]:
        pytest.skip(f"{request.param} does not work on this machine")
    with Sandbox(limits=LIMITS, rung=request.param) as sandbox:
        yield sandbox


def test_functions_objects_and_their_attributes(sandbox):
    with sandbox.open(CELL, 5.0) as session:
        cell = session.call("Cell", 2, step=10)
        assert isinstance(cell, RemoteObject)
        assert (session.call_method(cell, "add"), cell.add(n=2), cell(1)) == (12, 32, 33)
        cell.step = 0
        assert (cell.step, session.get(cell, "value")) == (0, 32)
        session.set(cell, "value", 3)
        assert (len(cell), cell["k"], list(cell)) == (3, ["k", 3], [0, 1, 2])
        assert cell.same(cell) is True
        assert cell.same(session.get_global("shared")) is False
        assert "Cell" not in repr(cell)


@pytest.mark.parametrize("ask", [bool, lambda cell: cell == 1, lambda cell: cell + 1, lambda cell: 1 in cell])
def test_what_a_handle_refuses_ends_the_session(sandbox, ask):
    with sandbox.open(CELL, 5.0) as session:
        cell = session.get_global("shared")
        with pytest.raises(ProgramFailure, match="does not cross") as caught:
            ask(cell)
        assert caught.value.status == "error"
        with pytest.raises(ProgramFailure, match="does not cross"):
            session.call("Cell", 1)


def test_changes_in_place_are_copied_back_by_a_call_without_a_value(sandbox):
    program = """
def change(a, d, s, b): a.sort(); d["new"] = a; s.add(9); b += b"!"
def both(a): a.clear(); return 1
def scale(x): x *= 2
"""
    a, d, s, b, x = [2, 1], {}, {1}, bytearray(b"hi"), np.ones(3)
    with sandbox.open(program, 5.0) as session:
        assert session.call("change", a, d, s, b) is None
        assert (a, d, s, b) == ([1, 2], {"new": [1, 2]}, {1, 9}, bytearray(b"hi!"))
        assert d["new"] is a
        session.call("scale", x)
        np.testing.assert_array_equal(x, [2.0, 2.0, 2.0])
        assert session.call("both", a) == 1
        assert a == [1, 2]  # as documented


def test_iterators_are_fetched_as_they_are_used(sandbox):
    program = """
import itertools
def endless(): return itertools.count()
def late():
    yield 1
    raise KeyError("k")
"""
    with sandbox.open(program, 5.0) as session:
        endless = session.call("endless")
        assert [next(endless) for _ in range(1000)] == list(range(1000))
        late = session.call("late")
        assert next(late) == 1
        with pytest.raises(RemoteException, match="KeyError"):
            next(late)


def test_functions_passed_are_called_back_and_nothing_else_of_ours(sandbox):
    program = """
def apply(f, *args, **kwargs): return f(*args, **kwargs)
def steal(f): return [hasattr(f, name) for name in ("__globals__", "__code__", "real", "__self__")]
"""
    with sandbox.open(program, 5.0) as session:
        assert session.call("apply", lambda x, y=1: [x, y], 2, y=3) == [2, 3]
        assert session.call("steal", lambda: 1) == [False] * 4
    with pytest.raises(PermissionError):
        call_back("get", len, "__self__")


@pytest.mark.parametrize(
    ("status", "program"),
    [
        ("error", "import os\nos._exit(0)"),
        ("error", "import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)"),
        ("error", "import os\nos.close(3)\nos.closerange(0, 64)"),
        ("error", "import os\nos.write(3, b'\\xff' * 64)"),
        ("timeout", "while True: pass"),
        ("output_limit", "while True: print('x' * 4096)"),
    ],
)
def test_how_a_program_ends(sandbox, status, program):
    with pytest.raises(ProgramFailure) as caught, sandbox.open(program, 0.5) as session:
        session.call("solve")
    assert caught.value.status == status
    with sandbox.open(ECHO, 5.0) as session:
        assert session.call("echo", 1) == 1


def test_a_sigterm_to_every_process_of_a_job_changes_no_case(sandbox):
    """As schedulers send it; a program that sends it to itself does not end of it either."""
    program = "import os, signal\ndef solve(x):\n    os.kill(os.getpid(), signal.SIGTERM)\n    return x"
    with sandbox.open(program, 5.0) as session:
        assert session.call("solve", 7) == 7
    with sandbox.open(ECHO, 5.0) as session:
        for process in psutil.Process().children(recursive=True):
            process.terminate()
        assert session.call("echo", 1) == 1


def test_what_is_known_at_the_end(sandbox):
    with sandbox.open("print('hello')\ndef solve(): return bytearray(64 << 20) and None", 5.0) as session:
        session.call("solve")
        ended = session.end()
    assert (ended["output"], ended["overflow"]) == ("hello\n", False)
    assert ended["memory_kb"] > 64 << 10
    assert ended["wall_s"] >= 0


RUNG_PROGRAM = """
import os, socket, threading
def write_own():
    with open("own.txt", "x") as file: file.write("mine")
    with open(os.devnull, "w") as file: file.write("nothing")
    return sorted(os.listdir("."))
def attempt(act):
    try: act()
    except OSError: return "refused"
    return "done"
def fork(): return attempt(os.fork)
def start(): return attempt(lambda: os.execv("/bin/true", ["true"]))
def connect(): return attempt(socket.socket)
def read(path): return attempt(lambda: open(path).read())
def kill(pid): return attempt(lambda: os.kill(pid, 0))
def environment(): return sorted(os.environ)
def thread():
    found = []
    worker = threading.Thread(target=lambda: found.append(1)); worker.start(); worker.join()
    return found
"""


def test_a_program_at_each_rung(rung_sandbox):
    with tempfile.NamedTemporaryFile("w") as outside, rung_sandbox.open(RUNG_PROGRAM, 5.0) as session:
        os.chmod(outside.name, 0o644)
        assert session.call("write_own") == ["own.txt"]
        assert session.call("thread") == [1]
        threads = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
        assert set(session.call("environment")) <= threads
        assert {session.call(name) for name in ("fork", "start", "connect")} == {"refused"}
        if rung_sandbox.jail.rung in STRONG:
            assert session.call("read", outside.name) == "refused"
            assert session.call("kill", os.getppid()) == "refused"
    with rung_sandbox.open(RUNG_PROGRAM, 5.0) as session:  # the folder is new to each program
        assert session.call("write_own") == ["own.txt"]


def test_a_closed_folder_does_not_spoil_the_slot(rung_sandbox):
    poison = "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nos.chmod('a', 0)\nos.chmod('.', 0)"
    try:
        with rung_sandbox.open(poison, 5.0):
            pass
    except RemoteException as error:  # where modes cannot be changed
        assert error.status == "forbidden"
    with rung_sandbox.open(RUNG_PROGRAM, 5.0) as session:
        assert session.call("write_own") == ["own.txt"]


@contextmanager
def nothing_left():
    """Fail if processes, temporary folders or descriptors of ours are left that were not there before."""

    def state() -> tuple[set[int], set[str], int]:
        processes = {process.pid for process in psutil.Process().children(recursive=True)}
        folders = {path.name for path in Path(tempfile.gettempdir()).glob("rlvr-*")}
        return processes, folders, len(os.listdir("/proc/self/fd"))

    before = state()
    yield
    after = state()
    assert after[0] - before[0] == set()
    assert [name for name in after[1] - before[1] if not name.startswith("rlvr-canary")] == []
    assert after[2] <= before[2]


@pytest.mark.parametrize("rung", LADDER)
def test_fifty_programs_leave_nothing(rung):
    if rung not in [found.name for found in probe_rungs()]:
        pytest.skip(f"{rung} does not work on this machine")
    program = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nopen('f', 'w')"
    )
    with nothing_left(), Sandbox(slots=2, limits=LIMITS, rung=rung) as sandbox:

        def run_some() -> None:
            for _ in range(25):
                with sandbox.open(program, 5.0):
                    pass

        threads = [threading.Thread(target=run_some) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_a_slot_whose_server_was_killed_starts_anew():
    with Sandbox(limits=LIMITS) as sandbox:
        with sandbox.slot() as slot:
            victim = slot.helper.pid
        with sandbox.open(ECHO, 5.0) as session:
            assert session.call("echo", 1) == 1
        os.kill(victim, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(victim)] if psutil.pid_exists(victim) else [], timeout=1)
        with sandbox.open(ECHO, 5.0) as session:
            assert session.call("echo", 2) == 2
        with sandbox.slot() as slot:
            assert slot.helper.pid != victim


def test_strong_isolation_refuses_a_weak_rung():
    weak = [rung.name for rung in probe_rungs() if not rung.strong]
    if not weak:
        pytest.skip("no weak rung works on this machine")
    with pytest.raises(UserError, match="bubblewrap"):
        Sandbox(require_isolation="strong", rung=weak[0])
    assert Sandbox(require_isolation="any", rung=weak[0]).jail.rung == weak[0]


def test_the_strongest_rung_is_chosen_and_reported():
    best = probe_rungs()[0]
    found = isolation()
    assert (found.rung, found.strong, found.layers) == (best.name, best.strong, best.layers)
    assert Sandbox().jail.rung == best.name
    assert "rlimits" in found.layers


def test_preloaded_modules_are_there(sandbox):
    with (
        Sandbox(preload=("numpy",)) as warm,
        warm.open("import sys\nhere = 'numpy' in sys.modules", 5.0) as session,
    ):
        assert session.get_global("here") is True
    with sandbox.open("import sys\nhere = 'numpy' in sys.modules", 5.0) as session:
        assert session.get_global("here") is False


@pytest.mark.parametrize("rung", LADDER)
def test_packages_below_tmp_are_in_reach(rung, monkeypatch):
    if rung not in [one.name for one in probe_rungs()]:
        pytest.skip(f"{rung} does not work on this machine")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        packages = Path(folder) / "site-packages"
        packages.mkdir()
        (packages / "below_tmp.py").write_text("ANSWER = 42")
        monkeypatch.syspath_prepend(packages)
        program = (
            "import below_tmp, tempfile\ntempfile.TemporaryFile()\ndef answer(): return below_tmp.ANSWER"
        )
        with Sandbox(limits=LIMITS, rung=rung) as sandbox, sandbox.open(program, 10.0) as session:
            assert session.call("answer") == 42


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
def test_limits_are_positive_whole_numbers(name):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})
