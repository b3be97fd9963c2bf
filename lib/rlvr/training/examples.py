"""Batches of supervised examples, as token ids; batch `step` is a function of the seed and `step` alone."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from rlvr.config.policy import Examples, FamilyExamples, JsonlExamples, TaggedFamilyExamples
from rlvr.config.sources import JsonlSource
from rlvr.data.families import draw_examples
from rlvr.data.overlap import drop_overlap
from rlvr.data.problem import read_problems
from rlvr.data.rows import load_rows
from rlvr.data.tagged import draw_tagged
from rlvr.data.templates import apply_template
from rlvr.errors import UserError
from rlvr.models.tokenizers import TextTokenizer
from rlvr.training.epochs import walk_epochs

logger = logging.getLogger(__name__)

Tokens = list[int]
Batch = tuple[list[Tokens], list[Tokens]]
# Given a count and a generator: pairs of prompt and response.
Draw = Callable[[int, np.random.Generator], list[tuple[str, str]]]


class ExampleStream(Protocol):
    """Where the batches of supervised training come from."""

    def batch(self, step: int, size: int) -> Batch:
        """Prompts and responses (EOS included) of a training step, counted from 0."""


class FamilyStream:
    """Examples drawn afresh at each step from the embedded families."""

    def __init__(self, draw: Draw, tokenizer: TextTokenizer, seed: int, max_positions: int):
        self._draw = draw
        self._tokenizer = tokenizer
        self._seed = seed
        self._max_positions = max_positions

    def batch(self, step: int, size: int) -> Batch:
        """See `ExampleStream`."""
        drawn = self._draw(size, np.random.default_rng((self._seed, step)))
        prompts = [self._tokenizer.encode(prompt) for prompt, _ in drawn]
        responses = [_response(response, self._tokenizer) for _, response in drawn]
        longest = max(len(p) + len(r) for p, r in zip(prompts, responses, strict=True))
        if longest > self._max_positions:
            raise UserError(
                f"base.architecture.max_positions is {self._max_positions}; an example of the families has "
                f"{longest} tokens"
            )
        return prompts, responses


class FileStream:
    """Examples of a file, each once an epoch, in an order shuffled anew for every epoch."""

    def __init__(self, examples: Sequence[tuple[Tokens, Tokens]], seed: int):
        self._examples = examples
        self._seed = seed

    def batch(self, step: int, size: int) -> Batch:
        """See `ExampleStream`. A batch may reach into the next epoch."""
        indices = walk_epochs(len(self._examples), step * size, size, self._order)
        chosen = [self._examples[index] for index in indices]
        return [prompt for prompt, _ in chosen], [response for _, response in chosen]

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self._seed, epoch)).permutation(len(self._examples))


def _response(text: str, tokenizer: TextTokenizer) -> Tokens:
    return [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]


def _read_file(
    config: JsonlExamples,
    tokenizer: TextTokenizer,
    data_root: str | Path,
    max_positions: int,
    evaluation_paths: Sequence[str | Path],
) -> list[tuple[Tokens, Tokens]]:
    """Tokenise the rows that fit and ask no evaluation question; count the others in the log."""
    source = JsonlSource(
        kind="jsonl",
        path=config.path,
        prompt_field=config.prompt_field,
        answer_field=config.response_field,
        overlap_field=config.overlap_field,
    )
    loaded = load_rows(source, "sft", "exact", data_root)
    evaluated = (problem for path in evaluation_paths for problem in read_problems(path))
    problems, overlap = drop_overlap(loaded.problems, evaluated)
    limit = min(config.max_tokens, max_positions)
    tokenised = (
        (tokenizer.encode(apply_template(config.template, row)), _response(row.answer, tokenizer))
        for row in problems
    )
    kept = [(prompt, response) for prompt, response in tokenised if len(prompt) + len(response) <= limit]
    logger.info(
        "%s: %d rows; left out: %d near copies and %d copies of evaluation problems, "
        "%d longer than %d tokens; %d used",
        config.path,
        loaded.rows_read,
        loaded.near_copies_dropped,
        sum(overlap.values()),
        len(problems) - len(kept),
        limit,
        len(kept),
    )
    if not kept:
        raise UserError(
            f"base.examples: no row of {config.path} has at most {limit} tokens; raise max_tokens"
        )
    return kept


def open_examples(
    config: Examples,
    tokenizer: TextTokenizer,
    data_root: str | Path,
    seed: int,
    max_positions: int,
    evaluation_paths: Sequence[str | Path] = (),
) -> ExampleStream:
    """The stream that `base.examples` describes, without the questions of the files `evaluation_paths`.

    The embedded families need no such files: they never draw a held-out prompt.
    """
    if isinstance(config, FamilyExamples):
        return FamilyStream(partial(draw_examples, config), tokenizer, seed, max_positions)
    if isinstance(config, TaggedFamilyExamples):
        return FamilyStream(partial(draw_tagged, config), tokenizer, seed, max_positions)
    return FileStream(_read_file(config, tokenizer, data_root, max_positions, evaluation_paths), seed)
