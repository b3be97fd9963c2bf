"""Instruction-tuning data packed into sequences of one length, without padding.

The interface is that of the supplement to Stanford CS336 (spring 2025), assignment 5. Documents that share a
sequence see each other, as in the packing of pre-training.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rlvr.data.rows import DataError, json_lines
from rlvr.errors import UserError
from rlvr.models.tokenizers import AnyTokenizer

# The template of Stanford Alpaca (tatsu-lab/stanford_alpaca, instructions without an input), as it stands in
# CS336's cs336_alignment/prompts/alpaca_sft.prompt, up to where the response begins.
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n{prompt}\n\n### Response:\n"
)


def render_prompt(template: str, prompt: str) -> str:
    """Put a prompt where `template` says `{prompt}`, which it must say once (UserError)."""
    before, *after = template.split("{prompt}")
    if len(after) != 1:
        raise UserError(f"a prompt template names {{prompt}} once, not {len(after)} times: {template[:80]!r}")
    return before + prompt + after[0]


class PackedDataset(Dataset[dict[str, Tensor]]):
    """Consecutive sequences of `seq_length` tokens out of one stream of documents, each ended by EOS.

    A document is the prompt in `template` with its response behind it, tokenised as the tokenizer does by
    default (a BOS included). Labels are one token ahead of the inputs, so the last label of a sequence is the
    first input of the next; what does not fill the last sequence is dropped.
    """

    def __init__(
        self,
        tokenizer: AnyTokenizer,
        path_or_records: str | Path | Sequence[Mapping[str, Any]],
        seq_length: int,
        shuffle: bool,
        seed: int = 0,
        template: str = ALPACA,
    ):
        """Pack rows that have the texts `prompt` and `response`, of a JSON-lines file (or .gz) or as given.

        `shuffle`: join the documents in an order drawn from `seed`, otherwise as they come. A row without
        these texts raises DataError, a tokenizer without EOS or too few tokens for one sequence UserError.
        """
        if seq_length < 1:
            raise UserError(f"seq_length must be at least 1, not {seq_length}")
        if tokenizer.eos_token_id is None:
            raise UserError("the tokenizer has no EOS token to end documents with; set tokenizer.eos_token")
        documents = [
            np.array([*tokenizer.encode(text), tokenizer.eos_token_id], dtype=np.int64)
            for text in _documents(path_or_records, template)
        ]
        if shuffle:
            order = np.random.default_rng(seed).permutation(len(documents))
            documents = [documents[index] for index in order]
        tokens = sum(map(len, documents))
        if tokens <= seq_length:
            raise UserError(
                f"{len(documents)} documents have {tokens} tokens; one sequence and its labels need "
                f"{seq_length + 1}"
            )
        self._stream = torch.from_numpy(np.concatenate(documents))
        self._seq_length = seq_length

    def __len__(self) -> int:
        return (len(self._stream) - 1) // self._seq_length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`input_ids` and `labels`, both (seq_length,) int64."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        start, end = index * self._seq_length, (index + 1) * self._seq_length
        return {"input_ids": self._stream[start:end], "labels": self._stream[start + 1 : end + 1]}


Placed = tuple[str, Mapping[str, Any]]  # a record and the place that a message names


def _documents(path_or_records: str | Path | Sequence[Mapping[str, Any]], template: str) -> Iterable[str]:
    if isinstance(path_or_records, str | Path):
        path = Path(path_or_records)
        rows: Iterator[Placed] = ((f"{path}:{number}", row) for number, row in json_lines(path))
    else:
        rows = ((f"record {index}", row) for index, row in enumerate(path_or_records))
    for place, row in rows:
        for name in ("prompt", "response"):
            if not isinstance(row.get(name), str):
                raise DataError(f"{place}: field {name!r} must be a text, not {row.get(name)!r}")
        yield render_prompt(template, row["prompt"]) + row["response"]


def iterate_batches(
    dataset: Dataset[dict[str, Tensor]], batch_size: int, shuffle: bool, seed: int = 0
) -> DataLoader[dict[str, Tensor]]:
    """Batches of one epoch: `input_ids` and `labels` (batch_size, seq_length); the last may have fewer rows.

    `shuffle`: in an order drawn from `seed`; iterating the result again is the next epoch, in another order.
    """
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, generator=generator)
