"""Properties of equality, and values against independent arithmetic."""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rlvr.data.problem import Problem
from rlvr.verify.answers.decide import decide
from rlvr.verify.answers.limits import MAX_BITS
from rlvr.verify.answers.notation import cleaned
from rlvr.verify.answers.reader import read_answer
from rlvr.verify.math import verify_batch

WHOLE = st.integers(-999, 999)
POSITIVE = st.integers(1, 60)


@st.composite
def number_texts(draw):
    """A text of a rational number and the number."""
    above, below, whole = draw(WHOLE), draw(POSITIVE), draw(POSITIVE)
    value = Fraction(above, below)
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return f"{above}", Fraction(above)
    if kind == 1:
        return rf"\frac{{{above}}}{{{below}}}", value
    if kind == 2:
        return f"{above}/{below}", value
    if kind == 3:
        return rf"{whole}\frac{{{below}}}{{{below + whole}}}", whole + Fraction(below, below + whole)
    if kind == 4:
        return f"{above / 8}", Fraction(above, 8)
    return rf"{above}\%", Fraction(above, 100)


@given(number_texts(), number_texts())
def test_numbers_are_equal_exactly_if_their_fractions_are(left, right):
    assert decide(left[0], right[0]) == ("right" if left[1] == right[1] else "wrong")


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_roots_are_equal_exactly_if_their_squares_are(a, b, c, d):
    expected = "right" if a * a * b == c * c * d else "wrong"
    assert decide(rf"{a}\sqrt{{{b}}}", rf"{c}\sqrt{{{d}}}") == expected


@given(st.lists(WHOLE, min_size=1, max_size=4), st.lists(WHOLE, min_size=1, max_size=4), WHOLE)
def test_a_product_of_polynomials_equals_its_expansion_and_no_other(first, second, change):
    product = [0] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            product[i + j] += a * b
    changed = [product[0] + change, *product[1:]]
    factors = f"({_polynomial(first)})({_polynomial(second)})"
    assert decide(factors, _polynomial(changed)) == ("wrong" if change else "right")


def _polynomial(coefficients):
    return "+".join(f"({c})x^{{{n}}}" for n, c in enumerate(coefficients))


@given(st.fractions(0, 50, max_denominator=400))
def test_repeating_decimals(value):
    """Long division, independent of the formula in the reader."""
    whole, rest = divmod(value.numerator, value.denominator)
    digits, seen = "", {}
    while rest and rest not in seen:
        seen[rest] = len(digits)
        digit, rest = divmod(rest * 10, value.denominator)
        digits += str(digit)
    start = seen.get(rest, len(digits)) if rest else len(digits)
    text = f"{whole}.{digits[:start]}" + (rf"\overline{{{digits[start:]}}}" if rest else "0")
    assert decide(text, f"{value.numerator}/{value.denominator}") == "right"


LEAVES = st.sampled_from(
    [
        "1",
        "-2",
        "0.5",
        r"\frac{3}{4}",
        "x",
        "2y",
        r"\pi",
        r"\sqrt{2}",
        "3+4i",
        r"1\frac{1}{2}",
        "x^2-1",
        r"2\sqrt[3]{5}",
    ]
)
ANSWERS = st.one_of(
    LEAVES,
    st.lists(LEAVES, min_size=2, max_size=3).map(", ".join),
    st.lists(LEAVES, min_size=2, max_size=3).map(lambda items: f"({', '.join(items)})"),
    st.lists(LEAVES, min_size=1, max_size=3).map(lambda items: rf"\{{{', '.join(items)}\}}"),
    st.tuples(LEAVES, LEAVES).map(lambda pair: rf"[{pair[0]}, {pair[1]})"),
    st.tuples(LEAVES, LEAVES).map(lambda pair: rf"\begin{{pmatrix}} {pair[0]} \\ {pair[1]} \end{{pmatrix}}"),
    LEAVES.map(lambda leaf: f"y = {leaf}"),
    LEAVES.map(lambda leaf: rf"{leaf} \text{{ cm}}"),
    st.sampled_from(
        ["Monday", r"\text{no solution}", "B", "(C)", "101_2", r"3 \pmod 7", "x > 5", "4:30 p.m."]
    ),
)
WRAPPERS = [
    "{}",
    "${}$",
    r"\({}\)",
    r"\[{}\]",
    "**{}**",
    r"\boxed{{{}}}",
    "{}.",
    " {}\n",
    r"\ {}\,",
    r"\displaystyle {}",
    "$ {} $.",
]


@given(ANSWERS, st.sampled_from(WRAPPERS), st.sampled_from(WRAPPERS))
def test_equality_is_reflexive_and_blind_to_wrappers(answer, inner, outer):
    wrapped = outer.format(inner.format(answer))
    twice = inner == outer or ("$" in inner and "$" in outer)  # marks inside the same marks
    assume(not twice and ".." not in wrapped)  # nor an ellipsis
    assert decide(wrapped, answer) == "right"
    assert decide(answer, wrapped) == "right"


@given(ANSWERS, ANSWERS)
def test_equality_is_symmetric(left, right):
    assert decide(left, right) == decide(right, left)


@given(ANSWERS, st.data())
def test_space_between_signs_does_not_matter(answer, data):
    places = [n for n, sign in enumerate(answer) if sign in "+-,=<>" and answer[n - 1] != " "]
    place = data.draw(st.sampled_from(places)) if places else 0
    for space in (" ", r"\,", r"\; ", "~"):
        assert decide(answer[:place] + space + answer[place:], answer) == "right"


@given(LEAVES, LEAVES, LEAVES)
def test_sets_are_unordered_and_tuples_are_not(a, b, c):
    assert decide(rf"\{{{a}, {b}, {c}\}}", rf"\{{{c}, {a}, {b}\}}") == "right"
    same = decide(a, b) == "right" and decide(b, c) == "right"
    assert decide(f"({a}, {b}, {c})", f"({b}, {c}, {a})") == ("right" if same else "wrong")


@given(
    st.text(max_size=60),
    st.text(st.sampled_from(list(r"0123xyi\{}()[]^_+-*/=<>!%$|,.:;&' frac")), max_size=60),
)
@settings(max_examples=400)
def test_any_text_has_a_decision_and_is_equal_to_itself(wild, latex):
    for text in (wild, latex, wild + latex):
        assert decide(text, "5") in ("right", "wrong", "undecided")
        assert decide("5", text) in ("right", "wrong", "undecided")
        assert decide(text, text) == ("right" if cleaned(text) else "wrong")


@pytest.mark.parametrize(
    "answer",
    [
        *("9**9**9", "9^{9^{9}}", "10^{10^{10}}", "2^{1000000000}", "2^{-1000000000}", "1e999999999"),
        *("99999!", "5!!!!!!", r"\binom{10^9}{10^8}", "9" * 1999, "0." + "9" * 1990, "(x+y+z)^{100000}"),
        *(
            "(" * 1000 + "1" + ")" * 1000,
            r"\frac{1}{" * 100 + "2" + "}" * 100,
            r"\sqrt{" * 100 + "2" + "}" * 100,
        ),
        *("{" * 2000, r"\left(" * 300, "-" * 2000, "1," * 900, "x^" * 900, "|" * 1500, r"\boxed{" * 200),
        *(r"\pm 1" * 300, "1+" * 900 + "1", "x=" * 900, r"\sqrt{" + "7" * 900 + "}", "$" * 1999, "\\" * 1999),
    ],
)
def test_what_is_too_large_is_decided_by_its_text(answer):
    assert decide(answer, "5") == "wrong"
    assert decide(answer, answer) == "right"


def test_numbers_up_to_the_bound_are_computed_and_no_further():
    near = MAX_BITS - 1
    assert decide(rf"2^{{{near}}}", rf"2 \cdot 2^{{{near - 1}}}") == "right"
    assert decide(rf"2^{{{near + 2}}}", rf"2 \cdot 2^{{{near + 1}}}") == "wrong"
    assert decide("200!", str(math.factorial(200))) == "right"


@pytest.mark.parametrize("stated", ["5", "x", "x_1", "AB"])
def test_an_equals_sign_with_nothing_before_it_states_what_follows(stated):
    assert decide(f"= {stated}", stated) == decide(stated, f"= {stated}") == "right"
    assert decide(f"= {stated}", "y") == "wrong"


def test_a_batch_of_mangled_latex_has_a_verdict_each():
    golds = [r"\frac{3}{4}", "x^2-1", r"(1, \sqrt{2})", r"\sin 2x", r"(-\infty, 3]", "101_2"]
    pieces = ["{", "}", r"\frac", "^", "_", "x", "7", r"\text{or}", ",", r"\sum", "=", "\ud800", "(", r"\ "]
    answers = [
        (gold[:cut] + piece + gold[cut + skip :], gold)
        for gold in golds
        for cut in range(len(gold))
        for skip in (0, 1, 3)
        for piece in pieces
    ]
    problems = [Problem("p", "task", "question", gold, "math") for _, gold in answers]
    verdicts = verify_batch([rf"\boxed{{{answer}}}" for answer, _ in answers], problems)
    assert len(verdicts) == len(answers) > 2000
    assert {verdict.reason for verdict in verdicts} <= {"right", "wrong", "error", "no answer found"}


def test_kinds_that_look_alike_are_told_apart():
    kinds = {
        text: type(read_answer(cleaned(text))).__name__
        for text in (
            "5",
            "(1,2)",
            "1,2",
            r"\{1,2\}",
            "101_2",
            "x_1",
            "x>5",
            "3:4:5",
            "4:05",
            "Monday",
            "AB",
            "(A)",
        )
    }
    assert kinds == {
        "5": "Scalar", "(1,2)": "Group", "1,2": "Listing", r"\{1,2\}": "Collection", "101_2": "Based",
        "x_1": "Scalar", "x>5": "Region", "3:4:5": "Proportion", "4:05": "Clock", "Monday": "Words",
        "AB": "Scalar", "(A)": "Scalar",
    }  # fmt: skip
