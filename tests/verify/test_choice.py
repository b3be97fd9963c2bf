import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.data.problem import Problem
from rlvr.verify.choice import extract_choice, judge_choice
from rlvr.verify.verdict import Response

CHOICES = ("Paris", "London", "$4$ km", "x", "Rome.", "Rome")
PLAIN = ("1", "2", "3", "4")

# (response, letter, rule), the choices being 1, 2, 3, 4
LETTERS = [
    ("The answer is B", "B", "stated"),
    ("The answer is (C).", "C", "stated"),
    ("the answer is: **D**", "D", "stated"),
    ("Answer: A", "A", "stated"),
    ("Answer: b", "B", "stated"),
    ("ANSWER: (b)", "B", "stated"),
    ("The correct answer is B because 2 + 2 = 4", "B", "stated"),
    ("The answer is B: it is even", "B", "stated"),
    (r"so $\boxed{B}$", "B", "boxed"),
    (r"\boxed{\text{C}}", "C", "boxed"),
    (r"\boxed{(D)}", "D", "boxed"),
    (r"\boxed{\textbf{(D)}}", "D", "boxed"),
    (r"\boxed{\mathrm{d}}", "D", "boxed"),
    (r"The answer is $\boxed{A}$.", "A", "boxed"),
    (r"\boxed{17} Hence the answer is C", "C", "stated"),
    ("<answer>C</answer>", "C", "answer_tag"),
    ("#### D", "D", "hashes"),
    ("The answer is A. Wait, the answer is B.", "B", "stated"),
    (r"\boxed{A} no, the answer is C", "A", "boxed"),
    ("B", "B", "last_line"),
    (" (C). ", "C", "last_line"),
    ("**D**", "D", "last_line"),
    ("I add the numbers.\nB", "B", "last_line"),
    ("B. since it is even", "B", "marked"),
    ("(B) since it is even", "B", "marked"),
    ("I would choose (C) here", "C", "marked"),
    ("The answer is Because", "", ""),
    ("the answer is a number", "", ""),
    ("The answer is C's value", "", ""),
    ("The answer is not B", "", ""),
    ("The answer is B or C", "", ""),
    ("The answer is (B), (C)", "", ""),
    ("The answer is B and C", "", ""),
    ("The answer is A/B", "", ""),
    ("Either (A) or (B)", "", ""),
    ("A. no\nB. no\nC. yes", "", ""),
    ("Both A and B hold", "", ""),
    ("A number is prime if it has two divisors", "", ""),
    ("", "", ""),
]


@pytest.mark.parametrize(("text", "letter", "rule"), LETTERS)
def test_letters(text, letter, rule):
    found = extract_choice(text, PLAIN)
    assert (found.text, found.rule) == (letter, rule)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is Paris.", "A"),
        ("the answer is **paris**", "A"),
        (r"\boxed{\text{London}}", "B"),
        ("Answer: B. London", "B"),
        ("Answer: (B) London", "B"),
        ("Answer: (B) Paris", ""),
        ("B. Paris", ""),
        ("Paris", "A"),
        ("I thought about it.\nLondon", "B"),
        ("The answer is 4 km", "C"),
        ("The answer is x", "D"),
        ("The answer is Rome", ""),  # two choices have this text
        ("The answer is Madrid", ""),
        ("The answer is f", "F"),
    ],
)
def test_own_text_of_a_choice(text, letter):
    assert extract_choice(text, CHOICES).text == letter


def test_the_template_sets_the_order():
    text = r"Is it \boxed{A}? </think> <answer>B</answer>"
    assert extract_choice(text, PLAIN, "plain").text == "A"
    assert extract_choice(text, PLAIN, "r1_zero").text == "B"


def ask(answer, choices):
    return Problem("p", "task", "question", answer, "choice", {"choices": choices})


@given(st.text(st.sampled_from(list("\\boxed{} answer is:()*$ABCDé\n")), max_size=120))
def test_never_raises(text):
    verdict = judge_choice(Response(text, True), ask("A", ["1", "2"]))
    assert verdict.reward in (0.0, 1.0)
    assert verdict.format_ok == (verdict.answer in ("A", "B"))


@pytest.mark.parametrize("unit", ["(A) ", "A.\n", "B or ", "(", "\\text", "$", "answer is (A", "\\boxed{"])
def test_linear(unit):
    """A quadratic scan of a megabyte would take minutes."""
    extract_choice(unit * (1_000_000 // len(unit)), PLAIN)


def test_verdicts():
    judged = [judge_choice(Response(f"The answer is {x}", False), ask("B", ["1", "2", "3"])) for x in "BCD"]
    assert [v.reward for v in judged] == [1.0, 0.0, 0.0]
    assert [v.format_ok for v in judged] == [True, True, False]
    assert judged[0].rule == "stated"
