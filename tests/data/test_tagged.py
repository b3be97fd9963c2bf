import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from rlvr.config.alignment import TaggedExamples
from rlvr.config.policy import TaggedFamilyExamples
from rlvr.data.families import FAMILIES, family_problems, is_held_out
from rlvr.data.tagged import draw_tagged, reasoning, sft_examples
from rlvr.errors import UserError
from rlvr.models.tokenizers import character_tokenizer, tagged_tokenizer
from rlvr.training.examples import open_examples
from rlvr.verify.prompted import question_only_reward, r1_zero_reward

RECIPE = TaggedFamilyExamples(
    "tagged_families", "add", right=0.5, wrong_rule=0.3, slip=0.2,
    well_formed=0.6, question_only=0.25, boxed=0.7, reasoning=0.4,
)  # fmt: skip
SFT = TaggedExamples("tagged", "add", right=0.7, rows=None, seed=3)
# What may stand after the reasoning, well-formed first.
FORMS = {
    "well_formed": r"</think> <answer>(\d+)</answer>",
    "no_tags": r"</think>(\d+)",
    "no_space": r"</think><answer>(\d+)</answer>",
    "boxed": r"\\boxed\{(\d+)\}</think>",
    "never_closed": r"(\d+)</answer>",
}


def question(prompt):
    return prompt.removesuffix("<think>")


def form_of(prompt, response):
    """(form, whether it reasons, label) of a response to the compact r1_zero prompt."""
    a, b = map(int, question(prompt)[:-1].split("+"))
    written = f"{a % 10}+{b}={a % 10 + b}"
    rest = response.removeprefix(written)
    matches = [(form, re.fullmatch(pattern, rest)) for form, pattern in FORMS.items()]
    ((form, found),) = [(form, found) for form, found in matches if found]
    return form, rest != response, found[1]


def test_reasoning_adds_the_last_column():
    assert reasoning("add", "147+8=") == "7+8=15"
    assert reasoning("add", "20+3=") == "0+3=3"
    assert reasoning("rev", "r:5742=") == ""


def test_drawn_examples_follow_the_recipe():
    drawn = draw_tagged(RECIPE, 20_000, np.random.default_rng(0))
    assert not any(is_held_out(question(prompt)) for prompt, _ in drawn)
    bare = [pair for pair in drawn if not pair[0].endswith("<think>")]
    assert len(bare) / len(drawn) == pytest.approx(0.25, abs=0.016)  # five standard errors, as below
    boxed = sum(re.fullmatch(r"\\boxed\{\d+\}", response) is not None for _, response in bare)
    plain = sum(response.isdecimal() for _, response in bare)
    assert boxed + plain == len(bare)
    assert boxed / len(bare) == pytest.approx(0.7, abs=0.033)

    tagged = [pair for pair in drawn if pair[0].endswith("<think>")]
    forms, reasons, labels = zip(*(form_of(*pair) for pair in tagged), strict=True)
    shares = {form: count / len(tagged) for form, count in Counter(forms).items()}
    assert shares == pytest.approx(
        {"well_formed": 0.6} | dict.fromkeys(("no_tags", "no_space", "never_closed", "boxed"), 0.1), abs=0.02
    )
    reasoned = np.array(reasons)
    well_formed = np.array(forms) == "well_formed"
    assert reasoned.mean() == pytest.approx(0.4, abs=0.021)
    assert reasoned[well_formed].mean() == pytest.approx(reasoned[~well_formed].mean(), abs=0.042)
    right = [
        label == FAMILIES["add"].right(question(prompt)[:-1])
        for (prompt, _), label in zip(tagged, labels, strict=True)
    ]
    assert np.mean(right) == pytest.approx(0.5 + 0.45 * 0.3, abs=0.03)  # the wrong rule is right in 45 %


def test_the_rewards_take_the_right_format_and_no_other():
    recipe = replace(RECIPE, right=1.0, wrong_rule=0.0, slip=0.0)
    for prompt, response in draw_tagged(recipe, 400, np.random.default_rng(1)):
        truth = FAMILIES["add"].right(question(prompt)[:-1])
        if prompt.endswith("<think>"):
            well_formed = form_of(prompt, response)[0] == "well_formed"
            assert r1_zero_reward(response, truth)["reward"] == float(well_formed)
        else:
            boxed = response.startswith(r"\boxed{")
            assert question_only_reward(response, truth)["reward"] == float(boxed)


def test_other_families_answer_without_reasoning():
    recipe = replace(RECIPE, family="rev", right=1.0, wrong_rule=0.0, slip=0.0, well_formed=1.0)
    for prompt, response in draw_tagged(recipe, 100, np.random.default_rng(0)):
        if prompt.endswith("<think>"):
            assert response == f"</think> <answer>{prompt[2:].removesuffix('=<think>')[::-1]}</answer>"


def test_batches_depend_on_seed_and_step_only_and_end_with_eos():
    tokenizer = tagged_tokenizer()
    stream = open_examples(RECIPE, tokenizer, "", 3, 48)
    prompts, responses = stream.batch(5, 40)
    stream.batch(0, 40)
    assert stream.batch(5, 40) == (prompts, responses)
    assert stream.batch(6, 40) != (prompts, responses)
    assert open_examples(RECIPE, tokenizer, "", 4, 48).batch(5, 40) != (prompts, responses)
    drawn = draw_tagged(RECIPE, 40, np.random.default_rng((3, 5)))
    assert [tokenizer.decode(prompt) for prompt in prompts] == [prompt for prompt, _ in drawn]
    assert all(response[-1] == tokenizer.eos_token_id for response in responses)
    assert [tokenizer.decode(response[:-1]) for response in responses] == [text for _, text in drawn]


def test_what_the_model_or_the_tokenizer_cannot_hold_is_refused():
    with pytest.raises(UserError, match="max_positions is 12"):
        open_examples(RECIPE, tagged_tokenizer(), "", 0, 12).batch(0, 50)
    with pytest.raises(UserError, match=r"base\.tokenizer: tagged"):
        open_examples(RECIPE, character_tokenizer(), "", 0, 48).batch(0, 50)


def test_sft_examples_ask_each_training_question_once_in_a_seeded_order():
    examples = sft_examples(SFT, "r1_zero")
    problems = {problem.id: problem for problem in family_problems("add", "train")}
    assert sorted(example.id for example in examples) == sorted(problems)
    assert [example.id for example in examples] != list(problems)
    assert examples == sft_examples(SFT, "r1_zero")
    assert examples != sft_examples(replace(SFT, seed=4), "r1_zero")
    assert {example.verifier for example in examples} == {"r1_zero"}
    assert all(example.answer == problems[example.id].answer for example in examples)


def test_sft_labels_are_right_or_follow_the_wrong_rule():
    right = []
    for example in sft_examples(SFT, "r1_zero"):
        form, reasons, label = form_of(example.prompt, example.metadata["response"])
        assert (form, reasons) == ("well_formed", True)
        assert label in (example.answer, FAMILIES["add"].wrong(example.prompt[:-1]))
        right.append(label == example.answer)
    # 0.7, and 45 % of the wrong rule's answers; five standard errors
    assert np.mean(right) == pytest.approx(0.7 + 0.3 * 0.45, abs=0.045)
    only_wrong = sft_examples(replace(SFT, right=0.0), "r1_zero")
    assert any(FAMILIES["add"].wrong(e.prompt[:-1]) != e.answer for e in only_wrong)
    for example in only_wrong:
        assert form_of(example.prompt, example.metadata["response"])[2] == FAMILIES["add"].wrong(
            example.prompt[:-1]
        )


def test_fewer_rows_are_the_first_ones_and_too_many_an_error():
    assert sft_examples(replace(SFT, rows=50), "r1_zero") == sft_examples(SFT, "r1_zero")[:50]
    with pytest.raises(UserError, match=r"alignment\.data\.sft\.rows is 9999, but add has 18\d\d"):
        sft_examples(replace(SFT, rows=9999), "r1_zero")
