import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.data.overlap import drop_duplicates, drop_overlap, normalised
from rlvr.data.problem import Problem


def problem(name, prompt, answer="1", task="t", **metadata):
    return Problem(name, task, prompt, answer, "math", metadata)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find $a + b$.", "find a+b"),
        ("If $PQ = 27$, find\n$XY$", "If  $PQ=27,$ find $XY$."),
        ("the inﬁnite grid", "the infinite grid"),
        (r"\( \frac{p}{q} \)", r"$\frac{p}{q}$"),
        ("ＡＢＣ？", "abc"),
        ("“x”", '"x"'),
    ],
)
def test_spelling_is_folded(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5-3", "5+3"),
        ("5/3", "5*3"),
        ("5!", "5"),
        ("5%", "5"),
        ("1.5", "15"),
        ("1.5", "1,5"),
        ("f{2}{1}", "f{21}"),
        ("a b", "ab"),
        ("x^2", "x2"),
        ("???", "!!!"),
        ("-1", "1"),
    ],
)
def test_meaning_is_not_folded(one, other):
    assert normalised(one) != normalised(other)


@given(st.text())
def test_any_text_has_a_normal_form(text):
    assert bool(normalised(text)) == bool(text)


def test_duplicates_keep_the_first_and_conflicts_keep_none():
    found = drop_duplicates(
        [
            problem("a", "One?", "1"),
            problem("b", "two?", "2"),
            problem("c", "one", " 1"),
            problem("d", "Two", "3"),
            problem("e", "ONE", "1"),
            problem("f", "three", "3"),
        ]
    )
    assert [p.id for p in found.problems] == ["a", "f"]
    assert (found.duplicates, found.conflicts) == (2, 2)


def test_the_same_question_over_other_choices_is_no_duplicate():
    rows = [
        problem("a", "Which?", "A", choices=["x", "y"]),
        problem("b", "Which?", "B", choices=["y", "z"]),
        problem("c", "Which?", "A", choices=["x", "Y"]),
    ]
    assert [p.id for p in drop_duplicates(rows).problems] == ["a", "b"]


def test_overlap_is_counted_by_task_and_ignores_choices():
    train = [problem("a", "One?"), problem("b", "Two?"), problem("c", "Three?"), problem("d", "two")]
    others = [
        problem("x", "two", task="math"),
        problem("y", "two", task="late"),
        problem("z", "three", task="choice", choices=["1", "2"]),
    ]
    kept, counts = drop_overlap(train, others)
    assert [p.id for p in kept] == ["a"]
    assert counts == {"math": 2, "late": 0, "choice": 1}
