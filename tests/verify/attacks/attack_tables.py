"""All cases: those of `programs/*.txt`, and those that are clearer generated than written."""

import attack_protocol
from attack_case import HANG_S, Case, Sequel, read_cases, read_statuses

STOPPED = read_statuses("stopped")
FILES = ("exits", "patches", "lookup", "values", "entries", "processes", "resources", "host")

# Texts of programs: each must end as anything but `passed`, soon.
_TEXTS = {
    "empty": "",
    "only a comment": "# passed\n",
    "unclosed bracket": "def solve(x): return (3",
    "indentation": "def solve(x):\nreturn 11",
    "parentheses nested 100,000 deep": "X = " + "(" * 10**5 + "1" + ")" * 10**5,
    "brackets nested 150 deep": "X = " + "[" * 150 + "]" * 150,
    "minus signs": "X = " + "-" * 10**5 + "1",
    "attributes nested": "X = 1" + ".real" * 10**5,
    "lambdas nested": "X = " + "lambda: " * 3000 + "1",
    "blocks nested": "".join(" " * n + "if 1:\n" for n in range(120)) + " " * 120 + "pass",
    "sum of 100,000 terms": "X = " + "+".join(["1"] * 10**5),
    "powers of powers": "X = " + "(" * 50 + "2 ** 99" + ") ** 999" * 50,
    "5 MB of source": "# passed\n" * 600_000,
    "5 MB of data": "X = [" + "1234567," * 600_000 + "]",
    "one line of 2 MB": "X = '" + "x" * 2_000_000 + "'",
    "30,000 names": "\n".join(f"v{n} = {n}" for n in range(30_000)),
    "form feeds and returns": "\f\r\n\v\r",
    "byte order mark": "\ufeffdef solve(x): return 0",
    "from the future": "from __future__ import braces",
    "import of itself": "import __main__, sys\nfrom __main__ import *\nsys.modules[__name__].solve(3)",
    "return at the top": "return True",
    "yield at the top": "yield True",
    "await at the top": "await True",
    "null character": "X = 1\0\ndef solve(x): return 3 * x * x - 1\n" + "\0" * 3,
    "null in a string": "X = '\0passed'\ndef solve(x): return 0\n",
    "lone surrogate": "X = '\ud800'\ndef solve(x): return 0\n",
    "encoding cookie of utf-7": "# coding: utf-7\ndef solve(x): return 0\n",
    "unknown encoding cookie": "# -*- coding: passed -*-\ndef solve(x): return 0\n",
    "rot13 cookie": "# coding: rot13\nqrs fbyir(k): erghea 3 * k * k - 1\n",
    "look-alike letters": "def s\u043elve(x): return 3 * x * x - 1\n",
}
TEXTS = [
    Case(f"text: {name}", "text", text, time_limit_s=1, allowed_statuses=STOPPED)
    for name, text in _TEXTS.items()
]

# Answers by which the tests, outside the sandbox, would hang, grow or be misled: (name, test, program).
_MISLEADING = [
    ("range of the answer", "assert sum(range(candidate(5))) == 6", "return 10**13"),
    ("power of the answer", "assert 7 ** candidate(5) == 343", "return 10**11"),
    ("list of an endless generator", "assert list(candidate(5)) == [1]", "while True: yield 0"),
    ("list of an endless iterator", "assert list(candidate(5)) == [1]", "return itertools.repeat(0)"),
    ("sum of an endless iterator", "assert sum(candidate(5)) == 3", "return iter(int, 1)"),
    ("sort of an endless generator", "assert sorted(candidate(5)) == [1]", "yield from iter(int, 1)"),
    ("text times the answer", "assert 'ab' * candidate(5) == 'abab'", "return 10**14"),
    ("format of the answer", "assert candidate(5).format(1) == '0001'", "return '{0:9999999999}'"),
    ("pattern of the answer", "import re; assert re.match(candidate(5), 'a' * 40 + '!')", "return '(a+)+$'"),
    ("factorial", "import math; assert math.factorial(candidate(5)) == 6", "return 10**8"),
    ("loop on the answer", "while candidate(5) != 3: pass", "return 4"),
    ("text of a great integer", "assert len(str(candidate(5))) == 3", "return 10**100_000"),
    ("error in map", "assert all(map(lambda p: candidate(p) == 3, [1, 2]))", "raise StopIteration"),
    ("error in a generator", "assert all(candidate(p) == 3 for p in [1, 2])", "raise StopIteration"),
    ("error in a loop", "assert not [1 for p in map(candidate, [1, 2]) if p != 3]", "raise StopIteration"),
    ("generator that breaks off", "assert list(candidate(5)) == [1, 2]", "yield 1; raise StopIteration"),
    ("generator that exits", "assert list(candidate(5)) == [1, 2]", "yield 1; raise SystemExit(0)"),
    ("callback for ever", "assert candidate(lambda x=0: 1) == 2", "while True: x()"),
    ("callback in itself", "assert candidate(lambda f: f(f)) == 2", "return x(x)"),
    ("callback with a liar", "assert candidate(lambda y: y == 4711) == 4711", "return x(Liar())"),
    (
        "callback from a thread",
        "assert candidate(lambda y: y + 1) == 2",
        "Thread(target=x, args=(1,)).start()",
    ),
    ("callback after the call", "assert candidate(print) == 2", "Timer(0.1, x, ('passed',)).start()"),
    ("callback with a million items", "assert candidate(lambda y: len(y)) == 3", "return x([0] * 10**6)"),
    ("callback of a great power", "assert candidate(lambda y: 9 ** y) == 3", "return x(10**10)"),
]
_IMPORTS = """
import itertools
from threading import Thread, Timer
class Liar:
    def __eq__(self, other): return True
"""
MISLEADING = [
    Case(
        f"tests misled: {name}",
        "tests misled",
        f"{_IMPORTS}def solve(x):\n    {body}\n",
        f"def check(candidate):\n    {test}\n",
        time_limit_s=HANG_S,
        allowed_statuses=STOPPED,
    )
    for name, test, body in _MISLEADING
]

HOSTILE = [case for name in FILES for case in read_cases(name)] + TEXTS + MISLEADING + attack_protocol.CASES
HONEST = [*read_cases("honest"), attack_protocol.CONTROL]

# An honest program in the slot of each poison; and where a program left something for the next one to read.
_RIGHT = """
import copy, json, math, random, re
def solve(x):
    assert math.floor(2.5) == 2 and re.match("a", "a") and json.loads("[1]") == [1]
    assert copy.copy([x]) == [x] and random.Random(0).random() < 1 and len([x]) == abs(-1)
    with open("mine.txt", "w") as file: file.write("mine")
    return 3 * x * x - 1
"""


def _sequels() -> list[Sequel]:
    cases = read_cases("sequels")
    found = {case.name: case for case in cases if case.kind == "found"}
    sequels = []
    for case in cases:
        if case.kind == "left":
            sequels.append(Sequel(case, found[case.name.replace("left", "found", 1)]))
        elif case.kind == "poison":
            then = Case(
                f"honest after {case.name}",
                "honest",
                _RIGHT,
                time_limit_s=8,
                allowed_statuses=frozenset({"passed"}),
            )
            sequels.append(Sequel(case, then))
    return sequels


SEQUELS = _sequels()
