import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.data.templates import TEMPLATES
from rlvr.verify.extraction import (
    DEFAULT_ORDER,
    ORDERS,
    Extraction,
    extract_answer,
    extraction_order,
    last_boxed,
)

EXTRACTION = [
    (r"So \boxed{5}.", "5"),
    (r"\boxed{1} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{ \{1, 2\} }", r"\{1, 2\}"),
    (r"\boxed {7}", "7"),
    (r"\boxed{7} and an open \boxed{8", "7"),
    (r"\boxed{7} then an empty \boxed{}", "7"),
    (r"\boxed{\boxed{3}}", "3"),
    (r"}} \boxed{4} {", "4"),
    (r"open \boxed{12, the answer is 12.", "12"),
    ("The answer is 5. I hope it is correct.", "5"),
    ("the final answer is: $\\frac{3}{4}$.", r"\frac{3}{4}"),
    ("The answer is 3.5.", "3.5"),
    ("Answer: **42**", "42"),
    ("the answer is 1\nNo, the answer is \\(2\\)", "2"),
    ("2 + 2 = 4\n#### 1,234", "1,234"),
    ("#### 5\nThe answer is 6", "6"),
    ("first 3, then -1,250.75", "-1,250.75"),
    ("costs $18", "18"),
    ("half is 1/2", "1/2"),
    ("\\boxed{} 9", "9"),
    ("no numbers here", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "answer"), EXTRACTION)
def test_extraction(text, answer):
    assert extract_answer(text).text == answer


@given(st.text(st.sampled_from(list("\\boxed{} answer is:#$*.,-/0123456789%\n\ud800é")), max_size=200))
def test_extraction_never_raises_and_gives_a_part_of_the_text(text):
    answer = extract_answer(text).text
    assert answer in text and answer == answer.strip()


@given(st.recursive(st.sampled_from(["x", r"\{", "1"]), lambda inner: inner.map(lambda s: f"{{{s}}}a")))
def test_balanced_box_is_found_whole(content):
    assert last_boxed(rf"junk {{ \boxed{{{content}}} more }}") == content


@pytest.mark.parametrize(
    "unit", [r"\boxed{", "{", "}", "answer is ", "1,", "####", "\\", "$", "answer: \t ", "answer is {. "]
)
def test_extraction_is_linear(unit):
    """A quadratic scan of a megabyte would take minutes (and the test's time with it)."""
    extract_answer(unit * (1_000_000 // len(unit)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"the answer is 1, \boxed{2}, #### 3 <answer>4</answer> 5", Extraction("2", "boxed")),
        ("the answer is 1, #### 3 <answer>4</answer> 5", Extraction("4", "answer_tag")),
        ("#### 3\nthe answer is 1\n5", Extraction("1", "stated")),
        ("#### 3\n5", Extraction("3", "hashes")),
        ("3 5", Extraction("5", "number")),
        ("none", Extraction("", "")),
    ],
)
def test_default_order(text, found):
    assert extract_answer(text) == found


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer> 7 </answer>", "7"),
        (r"<answer>34\text{ sq. units}. So it is 34.</answer>", r"34\text{ sq. units}"),
        ("<answer>1</answer> no, <answer>2</answer>", "2"),
        (r"<answer>It is \boxed{3} then</answer>", "3"),
        ("<answer>$4$.</answer>", "4"),
        ("<answer>8", ""),
        ("8</answer>", ""),
        ("</answer><answer>", ""),
    ],
)
def test_answer_tag(text, answer):
    assert extract_answer(text, ["answer_tag"]).text == answer


def test_a_template_sets_the_order():
    text = r"I think \boxed{1} </think> <answer>2</answer>"
    assert extract_answer(text, extraction_order("r1_zero")) == Extraction("2", "answer_tag")
    assert extract_answer(text, extraction_order("qwen_math_boxed")) == Extraction("1", "boxed")


def test_orders_name_templates_and_hold_every_rule():
    assert set(ORDERS) <= set(TEMPLATES)
    assert all(sorted(order) == sorted(DEFAULT_ORDER) for order in ORDERS.values())
