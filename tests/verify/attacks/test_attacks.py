"""All attack cases at every strong rung of this machine, with a watch on the host around the whole set."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from attack_run import judge, judge_sequels, wrong_verdicts
from attack_tables import HONEST, HOSTILE, SEQUELS
from host_watch import HostWatch, live_descendants

from rlvr.verify.code import CodeVerdict
from rlvr.verify.sandbox import probe_rungs

STRONG = ("bubblewrap", "namespaces", "landlock")
FOLDERS = [Path("/tmp"), Path("/var/tmp")]  # one that jails usually replace, and one that they do not
DETAIL_CHARACTERS = 4000


@dataclass(frozen=True)
class Graded:
    """The verdicts of one rung, and what the watch found."""

    verdicts: dict[str, CodeVerdict]
    harm: list[str]
    left: list[str]


@pytest.fixture(scope="module", params=STRONG)
def rung(request) -> str:
    """The name of a strong rung that works here."""
    if request.param not in [rung.name for rung in probe_rungs() if rung.strong]:
        pytest.skip(f"{request.param} does not work on this machine")
    return request.param


@pytest.fixture(scope="module")
def graded(rung) -> Graded:
    """Every case at one rung; what endangers the machine comes last, if the rest did no harm."""
    with HostWatch(FOLDERS) as watch:
        verdicts = judge([case for case in HOSTILE if not case.dangerous] + HONEST, rung, watch)
        assert watch.harm() == []
        dangerous = [case for case in HOSTILE if case.dangerous]
        verdicts |= judge(dangerous, rung, watch)
        verdicts |= judge_sequels(SEQUELS, rung, watch)
        return Graded(verdicts, watch.harm(), watch.left_over())


def test_no_hostile_program_passes(graded):
    hostile = [*HOSTILE, *(sequel.then for sequel in SEQUELS if sequel.then.kind == "found")]
    assert [case.name for case in hostile if graded.verdicts[case.name].passed] == []


def test_every_honest_program_passes(graded):
    honest = [*HONEST, *(sequel.then for sequel in SEQUELS if sequel.then.kind == "honest")]
    assert wrong_verdicts(honest, graded.verdicts) == {}


def test_statuses_are_those_that_the_cases_allow(graded):
    assert wrong_verdicts(HOSTILE, graded.verdicts) == {}


def test_the_host_is_unharmed(graded):
    assert graded.harm == []
    assert graded.left == []


def test_details_are_short_text(graded):
    for name, verdict in graded.verdicts.items():
        assert len(verdict.detail) <= DETAIL_CHARACTERS, name
        verdict.detail.encode()  # raises on lone surrogates
        assert verdict.passed or verdict.detail, f"{name}: no word on why"


ENDLESS = """
from rlvr.verify.code import CodeVerifier
programs = ["def solve(x):\\n    while True: pass", "import time\\ndef solve(x): time.sleep(600)"]
with CodeVerifier(2, 600.0, rung={rung!r}) as verifier:
    print("ready", flush=True)
    verifier.run([(program, "def check(candidate): candidate(1)", "solve") for program in programs])
"""


def test_nothing_outlives_a_killed_caller(rung):
    with HostWatch(FOLDERS) as watch:
        before = set(live_descendants())
        caller = subprocess.Popen([sys.executable, "-c", ENDLESS.format(rung=rung)], stdout=subprocess.PIPE)
        caller.stdout.readline()
        watch.settle()
        assert len(set(live_descendants()) - before) > 2  # the caller, and jails with a program each
        caller.send_signal(signal.SIGKILL)
        caller.communicate()
        watch.settle()
        assert set(live_descendants()) - before == set()
