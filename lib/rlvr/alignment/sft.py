"""The arms of supervised fine-tuning (rule train_sft_arm)."""

import hashlib
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from rlvr.alignment.job import ArmFiles, ArmInputs, SftJob
from rlvr.alignment.results import Row
from rlvr.alignment.supervised import SeedRun
from rlvr.alignment.supervised_arm import train_arm
from rlvr.config.alignment import SftSettings
from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.errors import UserError
from rlvr.files import read_jsonl
from rlvr.training.examples import FileStream

logger = logging.getLogger(__name__)

Example = tuple[list[int], list[int]]


class _Sft:
    """Supervised fine-tuning of one seed, which decides the order of the batches and not what is in them."""

    columns: tuple[str, ...] = ("loss", "learning_rate", "grad_norm")

    def __init__(self, settings: SftSettings, path: str, run: SeedRun):
        self.steps, self.validate_every = settings.steps, settings.validate_every_steps
        self._settings, self._run = settings, run
        examples, counts = choose_examples(list(read_jsonl(path)), settings, run, path)
        self._stream = FileStream(examples, run.seed)
        self.facts: dict[str, Any] = {"examples": counts}

    def step(self) -> Row:
        """One update on the next batch of a walk through shuffled epochs."""
        batch = self._stream.batch(self._run.state.step, self._settings.batch_size)
        loss, norm = self._run.update(*batch)
        return {"loss": loss, "learning_rate": self._settings.learning_rate, "grad_norm": norm}


def choose_examples(
    rows: Sequence[Row], settings: SftSettings, run: SeedRun, path: str
) -> tuple[list[Example], dict[str, int]]:
    """The examples of an arm as token ids of prompt and response (EOS included), and how many were left out.

    The first `size` in an order that ids alone decide: every seed has the same, and a smaller set is part of
    a larger one. Examples that do not fit the model's positions are left out; a `size` above what is then
    left is a UserError. `path` of the rows, for the message.
    """
    kept = [row for row in rows if row["correct"] or not settings.filtered]
    positions = run.engine.max_positions
    fitting = [(row, tokens) for row in kept if sum(map(len, tokens := _tokens(row, run))) <= positions]
    counts = {
        "read": len(rows),
        "wrong_left_out": len(rows) - len(kept),
        "too_long_left_out": len(kept) - len(fitting),
        "available": len(fitting),
    }
    if not fitting or (settings.size or 0) > len(fitting):
        raise UserError(
            f"alignment.sft: size is {settings.size}, but of the {len(rows)} examples in {path} "
            f"{len(fitting)} can be used ({counts['wrong_left_out']} wrong ones are filtered out, "
            f"{counts['too_long_left_out']} are longer than the model's {positions} positions); "
            "lower size, or give more examples (alignment.data.sft)"
        )
    chosen = sorted(fitting, key=lambda one: _order(one[0]["id"]))[: settings.size]
    counts |= {"used": len(chosen), "used_correct": sum(row["correct"] for row, _ in chosen)}
    logger.info("examples: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return [tokens for _, tokens in chosen], counts


def _order(identifier: str) -> bytes:
    return hashlib.blake2b(identifier.encode()).digest()


def _tokens(row: Row, run: SeedRun) -> Example:
    prompt, tokenizer = run.setup.common.prompt, run.setup.tokenizer
    problem = Problem(row["id"], "sft", row["prompt"], row["ground_truth"], prompt.verifier)
    response = tokenizer.encode(row["response"], add_special_tokens=False)
    return tokenizer.encode(apply_template(prompt.template, problem)), [*response, tokenizer.eos_token_id]


def train_sft_arm(
    job: SftJob, inputs: ArmInputs, files: ArmFiles, verification_workers: int, code: str
) -> None:
    """Fine-tune the base on examples, once for every seed; see `train_arm` and `choose_examples`."""
    method = partial(_Sft, job.settings, inputs.examples)
    train_arm("sft", job, inputs, files, verification_workers, code, job.settings.batch_size, method)
