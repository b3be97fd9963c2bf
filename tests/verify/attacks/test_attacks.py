"""Hostile programs at each strong rung of the sandbox, honest ones beside them, and a watch on the host.

556 hostile programs, 76 honest ones and 30 sequels (a program in the slot where a hostile one has just
run): 10 where the first left something to be found, 20 where an honest one must still pass. The strongest
rung of this machine runs all of them, the others what depends on the rung and some of each kind.

To add a program, write it into a file of `programs/` below a group that fits: `#= name`, then the text;
`attack_case` says what else a group may set. Programs that are clearer generated are in `attack_tables`, and
answers in the worker's own protocol in `attack_protocol`. `test_counts` keeps the figures above.

`host_watch` looks for: canaries changed, secrets read (their text as an answer passes), files left in the
usual places and in the temporary folder, connections to our sockets, signals to our process, processes and
listening sockets left, code run outside, the host name, memory of this process and of the machine.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from attack_case import Case
from attack_run import judge, judge_sequels, wrong_verdicts
from attack_tables import HONEST, HOSTILE, SEQUELS
from host_watch import HostWatch, live_descendants

from rlvr.verify.code import CodeVerdict
from rlvr.verify.sandbox import probe_rungs

STRONG = ("bubblewrap", "namespaces", "landlock")
FOLDERS = [Path("/tmp"), Path("/var/tmp")]  # one that jails usually replace, and one that they do not
DETAIL_CHARACTERS = 4000
# What these kinds try is refused by the rung, and not by how answers are graded.
KINDS_OF_THE_RUNG = {
    "children",
    "descriptors",
    "kernel",
    "machine",
    "new files",
    "other processes",
    "socket",
    "write outside",
}
ONE_IN = 8  # of the other kinds, at all rungs but the strongest


@dataclass(frozen=True)
class Graded:
    """The verdicts on some hostile programs and all others at one rung, and what the watch found."""

    hostile: list[Case]
    verdicts: dict[str, CodeVerdict]
    harm: list[str]
    left: list[str]


def hostile_at(rung: str, strongest: str) -> list[Case]:
    """All hostile cases at the strongest rung; else those that the rung matters to, and some of each kind."""
    if rung == strongest:
        return HOSTILE
    chosen = []
    for kind, group in groupby(sorted(HOSTILE, key=lambda case: case.kind), lambda case: case.kind):
        cases = list(group)
        chosen += cases if kind in KINDS_OF_THE_RUNG else cases[::ONE_IN]
    return chosen


@pytest.fixture(scope="module")
def strong_rungs() -> list[str]:
    """Names of the strong rungs that work here, strongest first."""
    rungs = [rung.name for rung in probe_rungs() if rung.strong]
    if not rungs:
        pytest.skip("no strong rung works on this machine: hostile programs are not run here")
    return rungs


@pytest.fixture(scope="module", params=STRONG)
def rung(request, strong_rungs) -> str:
    if request.param not in strong_rungs:
        pytest.skip(f"{request.param} does not work on this machine")
    return request.param


@pytest.fixture(scope="module")
def graded(rung, strong_rungs) -> Graded:
    """The cases at one rung; what endangers the machine comes last, if the rest did no harm."""
    hostile = hostile_at(rung, strong_rungs[0])
    with HostWatch(FOLDERS) as watch:
        verdicts = judge([case for case in hostile if not case.dangerous] + HONEST, rung, watch)
        assert watch.harm() == []
        verdicts |= judge([case for case in hostile if case.dangerous], rung, watch)
        verdicts |= judge_sequels(SEQUELS, rung, watch)
        return Graded(hostile, verdicts, watch.harm(), watch.left_over())


def test_no_hostile_program_passes(graded):
    hostile = [*graded.hostile, *(sequel.then for sequel in SEQUELS if sequel.then.kind == "found")]
    assert [case.name for case in hostile if graded.verdicts[case.name].passed] == []


def test_every_honest_program_passes(graded):
    honest = [*HONEST, *(sequel.then for sequel in SEQUELS if sequel.then.kind == "honest")]
    assert wrong_verdicts(honest, graded.verdicts) == {}


def test_statuses_are_those_that_the_cases_allow(graded):
    found = [sequel.then for sequel in SEQUELS if sequel.then.kind == "found"]
    assert wrong_verdicts([*graded.hostile, *found], graded.verdicts) == {}


def test_the_host_is_unharmed(graded):
    assert graded.harm == []
    assert graded.left == []


def test_details_are_short_text(graded):
    wrong = {}
    for name, verdict in graded.verdicts.items():
        has_surrogates = re.search("[\ud800-\udfff]", verdict.detail) is not None
        if (
            has_surrogates
            or len(verdict.detail) > DETAIL_CHARACTERS
            or bool(verdict.detail) == verdict.passed
        ):
            wrong[name] = verdict
    assert wrong == {}


ENDLESS = """
from rlvr.verify.code import CodeVerifier
programs = ["def solve(x):\\n    while True: pass", "import time\\ndef solve(x): time.sleep(600)"]
with CodeVerifier(2, 600.0, rung={rung!r}) as verifier:
    verifier.run([(program, "def check(candidate): candidate(1)", "solve") for program in programs])
"""


# The caller, two servers of jails and two of tests, and a child of each.
PROCESSES_OF_TWO_CASES = 9
START_S = 60.0


def test_nothing_outlives_a_killed_caller(rung):
    with HostWatch(FOLDERS) as watch:
        before = set(live_descendants())
        environment = os.environ | {"TMPDIR": tempfile.gettempdir()}  # the folder that is watched
        command = [sys.executable, "-c", ENDLESS.format(rung=rung)]
        with subprocess.Popen(command, env=environment) as caller:
            end = time.monotonic() + START_S
            while len(set(live_descendants()) - before) < PROCESSES_OF_TWO_CASES and time.monotonic() < end:
                time.sleep(0.05)
            assert len(set(live_descendants()) - before) >= PROCESSES_OF_TWO_CASES
            caller.send_signal(signal.SIGKILL)
        assert watch.left_over() == []


def test_the_watch_sees_what_a_weak_rung_lets_through():
    """That nothing is found at the strong rungs proves something only if it can be found."""
    names = ["lookup: files at once", "write outside: append"]
    with HostWatch(FOLDERS) as watch:
        verdicts = judge([case for case in HOSTILE if case.name in names], "rlimits", watch)
        assert [verdicts[name].status for name in names] == ["passed", "passed"]
        assert all("was changed: append" in line for line in watch.harm())
        assert len(watch.harm()) == len(FOLDERS)


def test_the_watch_sees_harm():
    with HostWatch(FOLDERS) as watch:
        assert watch.harm() == []
        os.utime(watch.fill("@CANARY@"))
        os.kill(int(watch.fill("@PID@")), signal.SIGCONT)
        Path("/tmp", watch.mark + "-new").touch()
        connections = [
            socket.create_connection(("127.0.0.1", int(watch.fill("@PORT@")))),
            socket.socket(socket.AF_UNIX),
            socket.socket(socket.AF_UNIX),
        ]
        connections[1].connect(watch.fill("@UNIX@"))
        connections[2].connect("\0" + watch.fill("@ABSTRACT@"))
        time.sleep(0.2)  # until the process that was signalled has written so
        for connection in connections:
            connection.close()
        assert watch.harm() == [
            "the abstract unix socket was reached",
            "the tcp socket was reached",
            "the unix socket was reached",
            f"the times, mode or attributes of {watch.fill('@CANARY@')} were changed",
            f"/tmp/{watch.mark}-new was written",
            "a process of the host received a signal",
        ]


def test_the_watch_sees_what_is_left():
    with HostWatch(FOLDERS) as watch:
        (watch.temp / "left").touch()
        port = int(watch.fill("@PORT@")) + 1
        with socket.create_server(("127.0.0.1", port)), subprocess.Popen(["sleep", "60"]) as sleeper:
            left = watch.left_over()
            sleeper.kill()
        assert f"port {port}" in left
        assert f"process {sleeper.pid}: sleep 60" in left
        assert f"file {watch.temp / 'left'}" in left


def test_counts():
    counts = f"{len(HOSTILE)} hostile programs, {len(HONEST)} honest ones and {len(SEQUELS)} sequels"
    assert counts in " ".join(__doc__.split())
    kinds = [sequel.then.kind for sequel in SEQUELS]
    assert (kinds.count("found"), kinds.count("honest")) == (10, 20)
    for cases in (HOSTILE, HONEST):
        assert len({case.name for case in cases}) == len(cases)
