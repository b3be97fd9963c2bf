"""Which prompts a step trains on."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.errors import UserError
from rlvr.models.tokenizers import TextTokenizer
from rlvr.rollout.streams import named_generator
from rlvr.training.epochs import walk_epochs


def step_problems(problems: Sequence[Problem], seed: int, step: int, count: int, round: int) -> list[Problem]:
    """The prompts of a step, a function of its arguments alone, so that a resume draws the same.

    Round 0 walks through shuffled epochs of the data without repeats inside an epoch; resampling rounds draw
    at random.
    """
    if round:
        drawn = named_generator("resampling", seed, step, round).integers(len(problems), size=count)
        return [problems[i] for i in drawn]
    order = partial(_epoch_order, seed, len(problems))
    return [problems[i] for i in walk_epochs(len(problems), step * count, count, order)]


def _epoch_order(seed: int, total: int, epoch: int) -> np.ndarray:
    return named_generator("epoch", seed, epoch).permutation(total)


def fitting_problems(
    problems: Sequence[Problem], template: str, tokenizer: TextTokenizer, room: int
) -> list[Problem]:
    """The problems whose prompt has at most `room` tokens; UserError if there is none.

    A longer one would leave less than the configured `max_tokens` for its response. The caller counts what
    is left out.
    """
    kept = [p for p in problems if len(tokenizer.encode(apply_template(template, p))) <= room]
    if not kept:
        raise UserError(
            f"none of the {len(problems)} training prompts has at most {room} tokens, which is what the "
            "model's positions leave beside the longest response; shorten max_tokens "
            "(precision.training.sampling, or alignment.generation in that study)"
        )
    return kept
