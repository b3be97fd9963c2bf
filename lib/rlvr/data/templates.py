r"""Prompt templates: how a bare question becomes the text that a policy continues.

The texts of published templates are data and stand here word for word, with their source.
"""

from collections.abc import Callable

from rlvr.data.problem import Problem

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Stanford CS336 (spring 2025), assignment 5, cs336_alignment/prompts/r1_zero.prompt: DeepSeek-R1-Zero's
# template (arXiv:2501.12948, table 1). It ends with `<think>`, without a newline.
R1_ZERO = (
    "A conversation between User and Assistant. The User asks a question, and the Assistant solves it. "
    "The Assistant first thinks about the reasoning process in the mind and then provides the User with "
    "the answer. The reasoning process is enclosed within <think> </think> and answer is enclosed within "
    "<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>.\n"
    "User: {question}\n"
    "Assistant: <think>"
)

# The same task for policies of a few thousand weights, which read no instruction: what r1_zero ends with.
R1_ZERO_COMPACT = "{question}<think>"

# Stanford CS336 (spring 2025), assignment 5, cs336_alignment/prompts/question_only.prompt: nothing around it.
QUESTION_ONLY = "{question}"

# QwenLM/Qwen2.5-Math, evaluation/utils.py, prompt type `qwen25-math-cot`: the chat format of Qwen2.5-Math
# with its chain-of-thought system message. (`qwen-boxed` there, of Qwen2-Math, asks in the user's turn.)
QWEN_MATH_BOXED = (
    "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
    "<|im_start|>user\n{question}<|im_end|>\n"
    "<|im_start|>assistant\n"
)

CHOICE_INSTRUCTION = (
    'Think step by step, then end with "The answer is X", where X is the letter of the right choice.'
)


def _around(text: str) -> Callable[[Problem], str]:
    before, after = text.split("{question}")
    return lambda problem: before + problem.prompt + after


def _choice(problem: Problem) -> str:
    choices = problem.metadata.get("choices")
    if not choices:
        raise ValueError(f"problem {problem.id}: template choice needs choices (the source's choices_field)")
    lettered = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, choices, strict=False))
    return f"{problem.prompt}\n\n{lettered}\n\n{CHOICE_INSTRUCTION}\n"


TEMPLATES: dict[str, Callable[[Problem], str]] = {
    "plain": _around("{question}"),
    "r1_zero": _around(R1_ZERO),
    "r1_zero_compact": _around(R1_ZERO_COMPACT),
    "question_only": _around(QUESTION_ONLY),
    "qwen_math_boxed": _around(QWEN_MATH_BOXED),
    "choice": _choice,
}


def apply_template(name: str, problem: Problem) -> str:
    """Return the prompt text of a problem; an unknown name raises ValueError with the allowed ones."""
    if name not in TEMPLATES:
        raise ValueError(f"unknown prompt template {name!r}; allowed: {', '.join(TEMPLATES)}")
    return TEMPLATES[name](problem)
