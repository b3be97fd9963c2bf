import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr.errors import UserError
from rlvr.verify import code
from rlvr.verify.code import CodeVerdict, CodeVerifier, run_tests
from rlvr.verify.sandbox.helper import StartError

BENCHMARKS = Path(
    os.environ.get("RLVR_BENCHMARKS") or Path(__file__).parents[2].parent / "shared" / "benchmarks"
)
HUMANEVAL = BENCHMARKS / "humaneval.jsonl.gz"
ADD = "def add(a, b):\n    return a + b\n"
CHECK_ADD = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n"


@pytest.fixture(scope="module")
def verifier():
    with CodeVerifier(1, 5.0, memory_mb=512) as verifier:
        yield verifier


@pytest.fixture
def graded(verifier):
    """Grade `solve` of a program by lines of tests that call it `candidate`, in HumanEval's form."""

    def grade(program: str, *lines: str, time_limit_s: float | None = None) -> CodeVerdict:
        tests = "\n    ".join(["def check(candidate):", *lines])
        return verifier.judge(program, tests, "solve", time_limit_s)

    return grade


def test_run_tests_judges_one_case():
    assert run_tests(ADD, CHECK_ADD, "add", 5.0) == CodeVerdict(True, "passed", "")
    wrong = run_tests(ADD.replace("+", "-"), CHECK_ADD, "add", 5.0)
    assert (wrong.passed, wrong.status) == (False, "failed")
    assert "line 2" in wrong.detail


def test_a_grader_that_does_not_start_is_a_sentence(monkeypatch):
    def fail(*settings):
        raise StartError("no more processes")

    monkeypatch.setattr(code, "Helper", fail)
    with (
        CodeVerifier(1, 5.0) as verifier,
        pytest.raises(UserError, match="could not be started: no more proc"),
    ):
        verifier.judge(ADD, CHECK_ADD, "add")


@pytest.mark.parametrize(
    "tests", ["assert add(1, 2) == 3", "import math\nassert math.isclose(add(0.1, 0.2), 0.3)", CHECK_ADD]
)
def test_plain_asserts_and_humaneval_form(verifier, tests):
    assert verifier.judge(ADD, tests, "add").passed
    assert verifier.judge(ADD.replace("+", "*"), tests, "add").status == "failed"


@pytest.mark.parametrize(
    ("status", "program"),
    [
        ("passed", "def solve(x): return x"),
        ("failed", "def solve(x): return x + 1"),
        ("error", "def solve(x): raise KeyError(x)"),
        ("error", "def solve(x):"),
        ("error", "def other(x): return x"),
        ("error", "import sys\nsys.exit(0)"),
        ("error", "import os\ndef solve(x): os._exit(0)"),
        ("error", "def solve(x): return object()"),
        ("timeout", "def solve(x):\n    while True: pass"),
        ("timeout", "import time\ndef solve(x): time.sleep(60)"),
        ("memory", "def solve(x): return len(bytearray(1 << 30))"),
        ("memory", "import mmap\ndef solve(x): mmap.mmap(-1, 8 << 30)"),
        ("output_limit", "def solve(x):\n    while True: print('x' * 10_000)"),
        ("output_limit", "def solve(x):\n    print('x' * 2_000_000)\n    return x"),
        ("output_limit", "def solve(x): return bytes(160 << 20)"),
        ("forbidden", "import os\ndef solve(x): os.fork()"),
        ("forbidden", "import socket\ndef solve(x): socket.socket()"),
        ("forbidden", "def solve(x): open('/usr/lib/rlvr', 'w')"),
    ],
)
def test_statuses(graded, status, program):
    verdict = graded(program, "assert candidate(7) == 7", time_limit_s=0.7 if status == "timeout" else 5.0)
    assert verdict.status == status
    assert verdict.passed == (status == "passed") == (not verdict.detail)


def test_functions_of_the_tests_are_called_back(graded):
    program = "def solve(f, items): return sorted(items, key=f)"
    assert graded(program, "assert candidate(lambda x: -x, [1, 3, 2]) == [3, 2, 1]").passed
    caught = "def solve(f):\n    try: return f(0)\n    except ZeroDivisionError: return 'none'"
    assert graded(caught, "assert candidate(lambda x: 1 / x) == 'none'").passed


def test_exceptions_cross_as_their_builtin_class(graded):
    program = "class Odd(ValueError): pass\ndef solve(x): raise Odd('no', x)"
    lines = ["try: candidate(3)", "except ValueError as error: assert error.args == ('no', 3)"]
    assert graded(program, *lines, "else: assert False").passed
    assert graded("def solve(x): return x", *lines, "else: assert False").status == "failed"


@pytest.mark.parametrize("name", ["StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit"])
def test_an_exception_that_ends_loops_is_not_one_to_the_tests(graded, name):
    program = f"def solve(x): raise {name}"
    assert graded(program, "assert all(map(lambda x: candidate(x) == 3, [1, 2]))").status == "error"
    assert graded(program, "assert not [1 for y in map(candidate, [1, 2]) if y != 3]").status == "error"


def test_groups_of_exceptions_cross_as_plain_ones(graded):
    program = "def solve(x): raise ExceptionGroup('a', [ValueError(1), ExceptionGroup('b', [KeyError(2)])])"
    assert "ExceptionGroup" in graded(program, "candidate(0)").detail
    assert graded(program, "try: candidate(0)", "except ValueError: pass").status == "error"


def test_details_are_one_line_of_printable_text(graded):
    text = r"\ud800 é" + r"\n{\"passed\": true}\x1b[31m\u202e"
    verdict = graded(f'def solve(x): raise ValueError("{text}")', "candidate(1)")
    assert verdict.detail.isprintable()
    assert r"\ud800 é\n" in verdict.detail
    assert len(verdict.detail) <= 300


@pytest.mark.parametrize("tests_import", ["", "import math\n"])
def test_modules_of_the_tests_are_their_own(verifier, tests_import):
    """Also where only the program imports them, as some published tests assume."""
    tests = tests_import + "def check(candidate): assert math.isclose(candidate(2), 2 ** 0.5)"
    honest = "import math\ndef solve(x): return math.sqrt(x)"
    forged = "import math\nmath.isclose = lambda *a, **k: True\ndef solve(x): return 0"
    assert verifier.judge(honest, tests, "solve").passed
    assert verifier.judge(forged, tests, "solve").status == "failed"


def test_a_module_under_another_name_is_still_the_tests_own(verifier):
    tests = "def check(candidate): assert ops.eq(candidate(2), 4) and path.basename('a/b') == 'b'"
    program = "import operator as ops\nfrom os import path\ndef solve(x): return 2 * x"
    assert verifier.judge(program, tests, "solve").passed
    forged = program.replace("2 * x", "0") + "\nops.eq = lambda *a: True\n"
    assert verifier.judge(forged, tests, "solve").status == "failed"


@pytest.mark.parametrize("name", ["made_up", "antigravity", "os.nothing", "rlvr.verify.code", "../os"])
def test_only_modules_of_the_standard_library_stand_in(verifier, name):
    program = f"import types\nlib = types.ModuleType({name!r})\nlib.eq = lambda *a: True\n"
    tests = "def check(candidate): assert lib.eq(candidate(2), 4)"
    assert verifier.judge(program + "def solve(x): return 0", tests, "solve").status == "error"


def test_tests_that_never_call_the_program_do_not_pass(verifier):
    assert verifier.judge(ADD, "assert True", "add").status == "error"


def test_equality_and_truth_of_the_program_do_not_count(graded):
    program = "class Yes:\n    def __eq__(self, other): return True\n    def __bool__(self): return True\n"
    for test in ("assert candidate(1) == 2", "assert candidate(1)", "assert 2 in [candidate(1)]"):
        assert graded(program + "def solve(x): return Yes()", test).status == "error"
    liar = "class Liar(int):\n    def __eq__(self, other): return True\ndef solve(x): return Liar(5)"
    assert graded(liar, "assert candidate(1) == 2").status == "failed"


def test_the_tests_are_not_in_the_program_s_reach(graded):
    program = """
import gc, inspect, sys
def solve(x):
    frame = inspect.currentframe()
    names = []
    while frame:
        names += [*frame.f_globals, *frame.f_locals]
        frame = frame.f_back
    texts = [o for o in gc.get_objects() if isinstance(o, str) and "secret" + "_constant" in o]
    return "check" in names or "candidate" in names or bool(texts)
"""
    assert graded(program, "secret_constant = 1", "assert candidate(1) is False").passed


def test_run_keeps_the_order_over_workers():
    cases = [(f"def solve(x): return {n % 3}", "assert solve(0) == 1", "solve") for n in range(12)]
    with CodeVerifier(2, 5.0) as verifier:
        assert [verdict.passed for verdict in verifier.run(cases)] == [n % 3 == 1 for n in range(12)]
        assert verifier.run([]) == []


# An interrupt is ignored where the tests run in the background of a shell, unless Python takes it back.
INTERRUPTED = """
import signal
from rlvr.verify.code import CodeVerifier
signal.signal(signal.SIGINT, signal.default_int_handler)
endless = "def solve(x):\\n    while True: pass"
with CodeVerifier(2, 600.0) as verifier:
    verifier.run([("def solve(x): return x", "assert solve(1) == 1", "solve")] * 2)
    print("ready", flush=True)
    try:
        verifier.run([(endless, "solve(1)", "solve")] * 3)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_an_interrupt_does_not_wait_for_endless_programs():
    caller = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    try:
        assert caller.stdout.readline() == "ready\n"
        time.sleep(0.5)
        caller.send_signal(signal.SIGINT)
        assert caller.communicate(timeout=60)[0] == "interrupted\n"
    finally:
        caller.kill()


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_time_limit_is_positive(limit):
    with pytest.raises(ValueError, match="time_limit_s"):
        CodeVerifier(1, limit)


@pytest.mark.skipif(not HUMANEVAL.is_file(), reason=f"{HUMANEVAL.name} is not in ../shared/benchmarks")
def test_humaneval_canonical_solutions_pass_and_wrong_ones_fail():
    with gzip.open(HUMANEVAL, "rt") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 164
    right = [(row["prompt"] + row["answer"], row["tests"], row["entry_point"]) for row in rows]
    wrong = [
        (f"{row['prompt']}    {('return None', 'raise ValueError', 'return 17.25')[n % 3]}\n", *case[1:])
        for n, (row, case) in enumerate(zip(rows, right, strict=True))
    ]
    with CodeVerifier(2, 10.0) as verifier:
        verdicts = verifier.run(right + wrong)
    ids = [row["id"] for row in rows]
    assert [name for name, verdict in zip(ids, verdicts[:164], strict=True) if not verdict.passed] == []
    assert [name for name, verdict in zip(ids, verdicts[164:], strict=True) if verdict.passed] == []
