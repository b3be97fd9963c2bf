import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from rlvr.config.policy import FamilyExamples
from rlvr.data.families import (
    CHARACTERS,
    FAMILIES,
    FAMILY_SIZES,
    draw_examples,
    family_problems,
    is_held_out,
)

WEIGHTS = {"add": 2.0, "sub": 2.0, "max": 1.0, "rev": 1.0, "sort": 1.0, "rot": 1.0}
RECIPE = FamilyExamples(kind="families", weights=WEIGHTS, right=0.45, wrong_rule=0.35, slip=0.2)

# The examples of the table of families.
TABLE = [
    ("add", "147+8", "147+8=", "155", "145"),
    ("sub", "142-8", "142-8=", "134", "144"),
    ("max", "91,38", "m:91,38=", "91", "38"),
    ("rev", "5742", "r:5742=", "2475", "5742"),
    ("sort", "251", "s:251=", "125", "521"),
    ("rot", "6096", "t:6096=", "0966", "6609"),
]


@pytest.mark.parametrize(("name", "operands", "prompt", "right", "wrong"), TABLE)
def test_rules(name, operands, prompt, right, wrong):
    family = FAMILIES[name]
    assert family.prompt(operands) == prompt
    assert family.right(operands) == right
    assert family.wrong(operands) == wrong


def column_wise(a, b, sign):
    """Digit by digit without carry or borrow, in another way than the module's formula."""
    left, right = f"{a:03d}", f"{b:03d}"
    digits = [(int(x) + sign * int(y)) % 10 for x, y in zip(left, right, strict=True)]
    return str(int("".join(map(str, digits))))


@pytest.mark.parametrize(("name", "sign"), [("add", 1), ("sub", -1)])
def test_arithmetic_families_are_complete_and_right(name, sign):
    problems = family_problems(name, "train") + family_problems(name, "held_out")
    assert len({problem.id for problem in problems}) == len(problems) == 2320
    same = 0
    for problem in problems:
        a, b = map(int, re.fullmatch(r"(\d+)[+-](\d)=", problem.prompt).groups())
        assert int(problem.answer) == a + sign * b
        wrong = FAMILIES[name].wrong(problem.prompt[:-1])
        assert wrong == column_wise(a, b, sign)
        carries = (a + sign * b) // 10 != a // 10
        assert problem.metadata == {
            "stratum": ("" if carries else "no_") + ("carry" if sign > 0 else "borrow")
        }
        assert problem.id == f"{name}/{a}{'+' if sign > 0 else '-'}{b}"
        same += wrong == problem.answer
    assert same / 2320 == pytest.approx(0.45, abs=0.01)  # the recipe's 45 %


@pytest.mark.parametrize("name", FAMILIES)
def test_split_is_a_fifth_by_hash_of_the_prompt(name):
    train, held_out = family_problems(name, "train"), family_problems(name, "held_out")
    assert not {p.prompt for p in train} & {p.prompt for p in held_out}
    assert all(not is_held_out(p.prompt) for p in train)
    assert all(is_held_out(p.prompt) for p in held_out)
    assert FAMILY_SIZES[name] == {"train": len(train), "held_out": len(held_out)}
    share = len(held_out) / (len(train) + len(held_out))
    assert share == pytest.approx(0.2, abs=0.025)
    assert {p.verifier for p in train} == {"exact"} and {p.task for p in train} == {name}


def test_split_never_changes():
    """The base policy and every result depend on the split, so its content is pinned."""
    text = "".join(p.prompt for name in FAMILIES for p in family_problems(name, "held_out"))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "55a2c38907a35f9e"


def test_digit_families_have_equally_many_prompts_of_each_length():
    problems = family_problems("rev", "train") + family_problems("rev", "held_out")
    assert Counter(len(p.answer) for p in problems) == {3: 1000, 4: 1000, 5: 1000}


def test_alphabet_covers_all_families_within_six_tokens():
    assert len(CHARACTERS) == len(set(CHARACTERS)) == 22
    assert CHARACTERS == "0123456789+-=:,mrstncd"
    for name in FAMILIES:
        for problem in family_problems(name, "held_out"):
            assert set(problem.prompt + problem.answer) <= set(CHARACTERS)
            assert len(problem.answer) + 1 <= 6


def test_unknown_family_is_named_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"'mul'.*add, sub, max, rev, sort, rot"):
        family_problems("mul", "train")


def kind_of_label(prompt, label):
    body = prompt[2:-1] if prompt[1] == ":" else prompt[:-1]
    symbol = {"m": "max", "r": "rev", "s": "sort", "t": "rot"}
    name = symbol[prompt[0]] if prompt[1] == ":" else ("add" if "+" in prompt else "sub")
    right, wrong = FAMILIES[name].right(body), FAMILIES[name].wrong(body)
    changed = [(int(x), int(y)) for x, y in zip(right, label, strict=False) if x != y]
    slipped = len(right) == len(label) and len(changed) == 1 and changed[0][1] == (changed[0][0] + 1) % 10
    return name, label == right, label == wrong, slipped


def test_drawn_examples_follow_the_recipe():
    examples = draw_examples(RECIPE, 40_000, np.random.default_rng(0))
    kinds = [kind_of_label(prompt, label) for prompt, label in examples]
    assert not any(is_held_out(prompt) for prompt, _ in examples)
    assert all(right or wrong or slipped for _, right, wrong, slipped in kinds)
    families = Counter(name for name, *_ in kinds)
    for name, weight in WEIGHTS.items():  # 5 standard errors of a share of 1/4 are 0.011
        assert families[name] / len(examples) == pytest.approx(weight / 8, abs=0.011)
    # In rot the three kinds of labels hardly coincide (only where all digits are equal).
    rot = [(right, wrong, slipped) for name, right, wrong, slipped in kinds if name == "rot"]
    shares = np.mean(rot, axis=0)
    assert shares == pytest.approx([0.45, 0.35, 0.2], abs=0.04)
    lengths = Counter(len(prompt) - 3 for prompt, _ in examples if prompt[0] in "rst")
    assert all(lengths[n] / sum(lengths.values()) == pytest.approx(1 / 3, abs=0.02) for n in (3, 4, 5))


def test_draws_depend_on_the_generator_alone():
    once = draw_examples(RECIPE, 256, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    assert once == draw_examples(RECIPE, 100, rng) + draw_examples(RECIPE, 156, rng)
    assert once != draw_examples(RECIPE, 256, np.random.default_rng(8))


def test_a_family_of_weight_zero_is_never_drawn():
    config = FamilyExamples("families", {"add": 0.0, "rev": 1.0, "sub": 0.0}, 1.0, 0.0, 0.0)
    examples = draw_examples(config, 500, np.random.default_rng(0))
    assert all(prompt.startswith("r:") and label == prompt[2:-1][::-1] for prompt, label in examples)
