import pytest

from rlvr.data.problem import Problem
from rlvr.data.templates import TEMPLATES, apply_template

QUESTION = r"What is $\frac{1}{2} + {question}$? 100% {choices}"


def problem(**metadata):
    return Problem("p/1", "t", QUESTION, "A", "math", metadata)


def test_names():
    assert set(TEMPLATES) == {
        "plain",
        "r1_zero",
        "r1_zero_compact",
        "question_only",
        "qwen_math_boxed",
        "choice",
    }


@pytest.mark.parametrize("name", ["plain", "question_only"])
def test_bare_question(name):
    assert apply_template(name, problem()) == QUESTION


def test_r1_zero_is_the_published_text():
    prompt = apply_template("r1_zero", problem())
    assert prompt.startswith("A conversation between User and Assistant. The User asks a question, and the")
    assert prompt.endswith(f"<answer> answer here </answer>.\nUser: {QUESTION}\nAssistant: <think>")
    # The published file has 449 characters, its 10 of the placeholder included.
    assert len(prompt) - len(QUESTION) == 449 - len("{question}")


def test_compact_r1_zero_is_the_question_and_an_open_think_tag():
    assert apply_template("r1_zero_compact", problem()) == f"{QUESTION}<think>"


def test_qwen_math_boxed_is_the_published_text():
    assert apply_template("qwen_math_boxed", problem()) == (
        "<|im_start|>system\n"
        r"Please reason step by step, and put your final answer within \boxed{}."
        "<|im_end|>\n"
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_choice_letters_the_choices():
    prompt = apply_template("choice", problem(choices=["one", "two {question}", "three"]))
    assert prompt.startswith(QUESTION + "\n\nA. one\nB. two {question}\nC. three\n\n")
    assert "The answer is X" in prompt


def test_choice_without_choices_is_an_error_that_names_the_problem():
    with pytest.raises(ValueError, match=r"p/1.*choices_field"):
        apply_template("choice", problem())


def test_unknown_name_lists_the_allowed_ones():
    with pytest.raises(
        ValueError, match=r"'boxed'.*plain, r1_zero, r1_zero_compact, question_only, qwen_math_boxed, choice"
    ):
        apply_template("boxed", problem())
