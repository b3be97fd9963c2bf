"""The embedded families: small verifiable string and arithmetic problems.

| family | prompt → right answer | wrong rule | metadata stratum |
|---|---|---|---|
| add | `147+8=` → 155; left operand 10–299, right 2–9 | no carry: 145 | carry, no_carry |
| sub | `142-8=` → 134; same ranges | no borrow: 144 | borrow, no_borrow |
| max | `m:91,38=` → 91; both 10–99 | the smaller | |
| rev | `r:5742=` → 2475; 3–5 digits | copy | |
| sort | `s:251=` → 125; 3–5 digits | descending | |
| rot | `t:6096=` → 0966 (to the left) | to the right | |

A fifth of all prompts, by a hash of the prompt, is held out: never trained on, only evaluated.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, product
from typing import Literal

import numpy as np

from rlvr.config.policy import FamilyExamples
from rlvr.data.problem import Problem

Split = Literal["train", "held_out"]

# Every character of a prompt or an answer, in the order of the character tokenizer's ids. The last two
# (and `n`) occur in no family: the vocabulary is the one that the default study was measured with.
CHARACTERS = "0123456789+-=:,mrstncd"

DIGIT_LENGTHS = (3, 4, 5)
# Problems of rev, sort and rot: all 1,000 strings of three digits and as many of four and of five, so that
# lengths are as frequent as in the drawn examples. (All 111,000 strings may be drawn as examples.)
PROBLEMS_PER_LENGTH = 1_000


@dataclass(frozen=True)
class Family:
    """One family. `operands` lists the bodies of the prompts by stratum; draws are even over strata.

    `right`, `wrong` and `stratum` take the body of a prompt (`147+8`, `91,38`, `5742`).
    """

    prefix: str
    operands: Callable[[], tuple[tuple[str, ...], ...]]
    right: Callable[[str], str]
    wrong: Callable[[str], str]
    stratum: Callable[[str], str] | None = None

    def prompt(self, operands: str) -> str:
        """Return the whole prompt of one body."""
        return f"{self.prefix}{operands}="


def _arithmetic(sign: str) -> tuple[tuple[str, ...], ...]:
    return (tuple(f"{a}{sign}{b}" for a, b in product(range(10, 300), range(2, 10))),)


def _pairs() -> tuple[tuple[str, ...], ...]:
    return (tuple(f"{a},{b}" for a, b in product(range(10, 100), repeat=2)),)


def _digits() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(f"{n:0{length}d}" for n in range(10**length)) for length in DIGIT_LENGTHS)


def _split(operands: str, sign: str) -> tuple[int, int]:
    left, right = operands.split(sign)
    return int(left), int(right)


def _add(operands: str) -> str:
    a, b = _split(operands, "+")
    return str(a + b)


def _add_without_carry(operands: str) -> str:
    a, b = _split(operands, "+")
    return str(a - a % 10 + (a % 10 + b) % 10)


def _carry(operands: str) -> str:
    a, b = _split(operands, "+")
    return "carry" if a % 10 + b >= 10 else "no_carry"


def _sub(operands: str) -> str:
    a, b = _split(operands, "-")
    return str(a - b)


def _sub_without_borrow(operands: str) -> str:
    a, b = _split(operands, "-")
    return str(a - a % 10 + (a % 10 - b) % 10)


def _borrow(operands: str) -> str:
    a, b = _split(operands, "-")
    return "borrow" if a % 10 < b else "no_borrow"


FAMILIES: dict[str, Family] = {
    "add": Family("", lambda: _arithmetic("+"), _add, _add_without_carry, _carry),
    "sub": Family("", lambda: _arithmetic("-"), _sub, _sub_without_borrow, _borrow),
    # Both operands have two digits, so the order of the texts is the order of the numbers.
    "max": Family("m:", _pairs, lambda x: max(x.split(",")), lambda x: min(x.split(","))),
    "rev": Family("r:", _digits, lambda x: x[::-1], lambda x: x),
    "sort": Family("s:", _digits, lambda x: "".join(sorted(x)), lambda x: "".join(sorted(x, reverse=True))),
    "rot": Family("t:", _digits, lambda x: x[1:] + x[0], lambda x: x[-1] + x[:-1]),
}


# Problems of each split; counting them takes a second, for which a plan does not wait.
FAMILY_SIZES: dict[str, dict[Split, int]] = {
    "add": {"train": 1845, "held_out": 475},
    "sub": {"train": 1869, "held_out": 451},
    "max": {"train": 6455, "held_out": 1645},
    "rev": {"train": 2393, "held_out": 607},
    "sort": {"train": 2427, "held_out": 573},
    "rot": {"train": 2372, "held_out": 628},
}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def is_held_out(prompt: str) -> bool:
    """Whether a prompt belongs to the fifth that is never trained on."""
    return _hash(prompt) % 5 == 0


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; allowed: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _problem(name: str, family: Family, operands: str) -> Problem:
    return Problem(
        id=f"{name}/{operands}",
        task=name,
        prompt=family.prompt(operands),
        answer=family.right(operands),
        verifier="exact",
        metadata={"stratum": family.stratum(operands)} if family.stratum else {},
    )


def family_problems(family: str, split: Split) -> list[Problem]:
    """Return the problems of one split of a family, in a fixed order; their verifier is `exact`.

    add, sub and max are complete; rev, sort and rot hold 1,000 strings of each length, chosen by hash.
    FAMILY_SIZES has their numbers. An unknown family raises ValueError.
    """
    found = _family(family)
    problems = []
    strata = found.operands()
    for stratum in strata:
        chosen: Sequence[str] = stratum
        if len(strata) > 1 and len(stratum) > PROBLEMS_PER_LENGTH:
            by_hash = sorted(stratum, key=lambda operands: _hash(f"sample {found.prompt(operands)}"))
            chosen = sorted(by_hash[:PROBLEMS_PER_LENGTH])
        problems += [
            _problem(family, found, operands)
            for operands in chosen
            if is_held_out(found.prompt(operands)) == (split == "held_out")
        ]
    return problems


@cache
def _trainable(name: str) -> tuple[tuple[str, ...], ...]:
    """Bodies of the prompts that may be drawn as examples, by stratum."""
    family = _family(name)
    return tuple(tuple(x for x in s if not is_held_out(family.prompt(x))) for s in family.operands())


def _slip(answer: str, uniform: float) -> str:
    """Return the answer with one digit, chosen by `uniform` in [0, 1), one higher (9 becomes 0)."""
    place = int(uniform * len(answer))
    return answer[:place] + str((int(answer[place]) + 1) % 10) + answer[place + 1 :]


def _label(config: FamilyExamples, family: Family, operands: str, kind: float, place: float) -> str:
    if kind < config.right:
        return family.right(operands)
    if kind < config.right + config.wrong_rule:
        return family.wrong(operands)
    return _slip(family.right(operands), place)


def draw_examples(config: FamilyExamples, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw `count` (prompt, label) pairs with partly wrong labels; held-out prompts never occur.

    The family follows `config.weights`; within rev, sort and rot the lengths are equally frequent. The wrong
    rule may give the right answer (on 45 % of add and sub). Five uniform numbers are used per pair, so equal
    generators give equal pairs however the count is cut into calls.
    """
    names = list(config.weights)
    families = [_family(name) for name in names]
    pools = [_trainable(name) for name in names]
    cumulative = np.array(list(accumulate(config.weights.values())), dtype=np.float64)
    uniforms = rng.random((count, 5))
    chosen = np.searchsorted(cumulative, uniforms[:, 0] * cumulative[-1], side="right")
    examples = []
    for index, (_, stratum, item, kind, place) in zip(chosen.tolist(), uniforms.tolist(), strict=True):
        family, strata = families[index], pools[index]
        bodies = strata[int(stratum * len(strata))]
        operands = bodies[int(item * len(bodies))]
        examples.append((family.prompt(operands), _label(config, family, operands, kind, place)))
    return examples
