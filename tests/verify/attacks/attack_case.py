"""What an attack case is, the tests that hostile programs are graded by, and how `programs/*.txt` are read.

A file is a list of groups, headed by lines `#| key: value`:

- `kind`, the first line of each group;
- `before` and `then`: names of texts that go before and after each program;
- `tests`: the name of the tests (`NUMBERS` if none);
- `allowed`: the statuses that are right (`refused` if none);
- `time_limit_s`, `entry_point`, `dangerous`.

`#= name` starts a program. `#: tests` starts tests: of the program above or, before the first, of the group.
`#: before name` starts a text that groups name. `@NAME@` anywhere stands for something on the host that
`host_watch.HostWatch` set up. A program without a `solve` of its own gets `WRONG`.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

STATUSES = frozenset({"passed", "failed", "error", "timeout", "memory", "output_limit", "forbidden"})
REFUSED = frozenset({"failed", "error", "forbidden"})
STOPPED = STATUSES - {"passed"}
# Seconds for programs that end by themselves, with room for a busy machine, and for those that hang.
LIMIT_S = 60.0
HANG_S = 0.6

# 3x² − 1: no two answers are equal, small, or boolean.
NUMBERS = """
def check(candidate):
    assert candidate(2) == 11
    assert candidate(7) == 146
    assert candidate(-4) == 47
    assert candidate(10) == 299
"""
FLOATS = """
def check(candidate):
    assert abs(candidate(2.0) - 11.0) < 1e-6
    assert abs(candidate(7.0) - 146.0) < 1e-6
    assert abs(candidate(-4.0) - 47.0) < 1e-6
"""
LISTS = """
def check(candidate):
    assert candidate([5, 3, 9]) == [3, 5, 9]
    assert candidate([4]) == [4]
    assert candidate([2, 8, -7, 2]) == [-7, 2, 2, 8]
"""
TRUTHS = """
def check(candidate):
    assert candidate(2) == True
    assert candidate(4) == False
    assert candidate(6) == False
    assert candidate(17) == True
    assert candidate(19) == True
    assert candidate(39) == False
    assert not candidate(21)
    assert candidate(23)
"""
SECRET = """
def check(candidate):
    assert candidate() == "@TOKEN@"
"""
CALLBACK_SECRET = """
def check(candidate):
    answer = "@TOKEN@"
    assert candidate(lambda text, answer=answer: text == answer and len(text)) == "@TOKEN@"
"""

# What follows a program that needs no function of its own.
WRONG = """
def solve(*args):
    return None
"""
# What follows a program that defines `attack()`: the right answers, where the attack reached the host.
HARM = """
try:
    REACHED = attack() is not False
except BaseException:
    REACHED = False


def solve(x):
    return 3 * x * x - 1 if REACHED else None
"""
TEXTS = {
    "NUMBERS": NUMBERS,
    "FLOATS": FLOATS,
    "LISTS": LISTS,
    "TRUTHS": TRUTHS,
    "SECRET": SECRET,
    "CALLBACK_SECRET": CALLBACK_SECRET,
    "HARM": HARM,
}


@dataclass(frozen=True)
class Case:
    """One program, the tests that grade it, and the statuses that are right for it.

    A `dangerous` program would harm the whole machine where the sandbox fails: it runs on strong rungs only,
    after the others left the host unharmed.
    """

    name: str
    kind: str
    program: str
    tests: str = NUMBERS
    entry_point: str = "solve"
    time_limit_s: float = LIMIT_S
    allowed_statuses: frozenset[str] = REFUSED
    dangerous: bool = False


@dataclass(frozen=True)
class Sequel:
    """A program that is run in the slot where `first` has just been run."""

    first: Case
    then: Case


def read_cases(name: str) -> list[Case]:
    """The cases of `programs/<name>.txt`, the form of which is described above."""
    text = (Path(__file__).parent / "programs" / f"{name}.txt").read_text()
    cases: list[Case] = []
    befores: dict[str, str] = {}
    head: dict[str, str] = {}
    first = 0  # index of the first case of the group
    for marker, value, body in re.findall(r"^#([|=:]) (.*)\n((?:(?!#[|=:] ).*\n)*)", text, re.MULTILINE):
        if marker == "|" and value.startswith("kind:"):
            head, first = {}, len(cases)
        if marker == "|":
            key, _, setting = value.partition(": ")
            head[key] = setting
        elif marker == "=":
            before = "".join(befores[word] for word in head.get("before", "").split())
            cases.append(_case(head, value, before + body))
        elif value != "tests":
            befores[value.removeprefix("before ")] = body
        elif len(cases) > first:
            cases[-1] = replace(cases[-1], tests=body)
        else:
            head["own tests"] = body
    return cases


def _case(head: dict[str, str], name: str, program: str) -> Case:
    if "solve" not in program and not {"entry_point", "then"} & set(head):
        program += WRONG
    return Case(
        name=f"{head['kind']}: {name}",
        kind=head["kind"],
        program=program + (TEXTS[head["then"]] if "then" in head else ""),
        tests=head.get("own tests") or TEXTS[head.get("tests", "NUMBERS")],
        entry_point=head.get("entry_point", "solve"),
        time_limit_s=float(head.get("time_limit_s", LIMIT_S)),
        allowed_statuses=read_statuses(head.get("allowed", "refused")),
        dangerous="dangerous" in head,
    )


def read_statuses(words: str) -> frozenset[str]:
    """Statuses by name; `refused` and `stopped` stand for several."""
    several = {"refused": REFUSED, "stopped": STOPPED}
    return frozenset().union(*(several.get(word, {word}) for word in words.split()))
