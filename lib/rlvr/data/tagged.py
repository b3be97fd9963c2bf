r"""Responses to the embedded families in the formats of the prompts r1_zero and question_only.

A well-formed response to `147+8=<think>` is `7+8=15</think> <answer>155</answer>`; that to the bare question
is `\boxed{155}`.
"""

from collections.abc import Sequence

import numpy as np

from rlvr.config.alignment import TaggedExamples
from rlvr.config.policy import FamilyExamples, TaggedFamilyExamples
from rlvr.data.families import FAMILIES, draw_examples, family_problems
from rlvr.data.problem import Problem
from rlvr.data.templates import R1_ZERO_COMPACT
from rlvr.errors import UserError

WELL_FORMED = "{reasoning}</think> <answer>{label}</answer>"
BOXED = r"\boxed{{{label}}}"
# What r1_zero_reward refuses, each as frequent: no answer tags, no space between the tags, a think tag that
# is never closed, a box in place of tags.
MALFORMED = (
    "{reasoning}</think>{label}",
    "{reasoning}</think><answer>{label}</answer>",
    "{reasoning}{label}</answer>",
    "{reasoning}" + BOXED + "</think>",
)


def reasoning(family: str, question: str) -> str:
    """The step that a right answer needs: `7+8=15` for the question `147+8=` of add, nothing for others."""
    if family != "add":
        return ""
    left, right = question.removesuffix("=").split("+")
    return f"{left[-1]}+{right}={int(left[-1]) + int(right)}"


def draw_tagged(config: TaggedFamilyExamples, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw `count` pairs of templated prompt and response; held-out questions never occur.

    Prompts are those of the templates r1_zero_compact and question_only.
    """
    weights = {config.family: 1.0}
    labels = FamilyExamples("families", weights, config.right, config.wrong_rule, config.slip)
    questions = draw_examples(labels, count, rng)
    uniforms = rng.random((count, 4)).tolist()
    return [_example(config, *question, *own) for question, own in zip(questions, uniforms, strict=True)]


def _example(
    config: TaggedFamilyExamples,
    question: str,
    label: str,
    prompt: float,
    form: float,
    malformed: float,
    reasons: float,
) -> tuple[str, str]:
    """One pair; the last four are uniform in [0, 1)."""
    if prompt < config.question_only:
        return question, BOXED.format(label=label) if form < config.boxed else label
    text = reasoning(config.family, question) if reasons < config.reasoning else ""
    shape = WELL_FORMED if form < config.well_formed else MALFORMED[int(malformed * len(MALFORMED))]
    return R1_ZERO_COMPACT.format(question=question), shape.format(reasoning=text, label=label)


def sft_examples(config: TaggedExamples, verifier: str) -> Sequence[Problem]:
    """Training questions of a family in a seeded order, each once; `metadata["response"]` is what to learn.

    Responses are well-formed and reason first. `answer` is the right one, which the response states with
    probability `right`; else it states that of the family's wrong rule (for add the same in 45 % of cases).
    More `rows` than there are questions is a UserError.
    """
    problems = family_problems(config.family, "train")
    if config.rows is not None and config.rows > len(problems):
        raise UserError(
            f"alignment.data.sft.rows is {config.rows}, but {config.family} has {len(problems)} training "
            "questions; give fewer, or null for all"
        )
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(problems))[: config.rows]
    right = rng.random(len(problems)) < config.right
    return [_sft_example(config, problems[index], verifier, bool(right[index])) for index in order.tolist()]


def _sft_example(config: TaggedExamples, problem: Problem, verifier: str, right: bool) -> Problem:
    family = FAMILIES[config.family]
    operands = problem.prompt.removeprefix(family.prefix).removesuffix("=")
    label = problem.answer if right else family.wrong(operands)
    response = WELL_FORMED.format(reasoning=reasoning(config.family, problem.prompt), label=label)
    return Problem(problem.id, "sft", problem.prompt, problem.answer, verifier, {"response": response})
