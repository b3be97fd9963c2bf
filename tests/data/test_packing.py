import json

import pytest
import torch

from rlvr.data.packing import ALPACA, PackedDataset, iterate_batches, render_prompt
from rlvr.data.rows import DataError
from rlvr.errors import UserError
from rlvr.files import write_jsonl
from rlvr.models.tokenizers import byte_tokenizer

EOS = 257
RECORDS = [{"prompt": f"say {word}", "response": word} for word in ("one", "two", "three", "four", "five")]
BARE = "{prompt}:"


class TokenizerWithBos:
    eos_token_id: int | None = 2

    def encode(self, text, add_special_tokens=True):
        return [1] * add_special_tokens + [10 + ord(letter) - ord("a") for letter in text]


def stream(records, template=BARE):
    """The tokens of all documents, joined by hand."""
    joined = []
    for row in records:
        joined += [*(template.replace("{prompt}", row["prompt"]) + row["response"]).encode(), EOS]
    return joined


def packed(seq_length, shuffle=False, seed=0, records=RECORDS):
    return PackedDataset(byte_tokenizer(), records, seq_length, shuffle, seed, template=BARE)


@pytest.mark.parametrize("seq_length", [1, 4, 7, 16, 67])
def test_sequences_are_the_stream_cut_with_labels_one_ahead(seq_length):
    tokens, dataset = stream(RECORDS), packed(seq_length)
    assert len(tokens) == 68
    assert len(dataset) == (len(tokens) - 1) // seq_length
    for index, sequence in enumerate(dataset):
        start = index * seq_length
        assert sequence["input_ids"].tolist() == tokens[start : start + seq_length]
        assert sequence["labels"].tolist() == tokens[start + 1 : start + seq_length + 1]
        assert sequence["input_ids"].dtype == sequence["labels"].dtype == torch.int64
    assert index == len(dataset) - 1


def test_the_handouts_example():
    """Eleven tokens in sequences of four are two sequences, as the handout says."""
    assert len(packed(4, records=[{"prompt": "abcde", "response": "fghi"}])) == 2
    # Eight tokens are one: the second sequence would lack its last label.
    assert len(packed(4, records=[{"prompt": "abcd", "response": "ef"}])) == 1


def test_the_alpaca_template_is_the_default():
    dataset = PackedDataset(byte_tokenizer(), RECORDS, 20, shuffle=False)
    tokens = torch.cat([sequence["input_ids"] for sequence in dataset]).tolist()
    assert tokens == stream(RECORDS, ALPACA)[: len(tokens)]
    assert ALPACA.endswith("### Instruction:\n{prompt}\n\n### Response:\n")


def test_each_document_has_its_bos_and_eos():
    records = [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": "d"}]
    (sequence,) = PackedDataset(TokenizerWithBos(), records, 7, False, template="{prompt}")
    assert sequence["input_ids"].tolist() == [1, 10, 11, 2, 1, 12, 13]
    assert sequence["labels"].tolist() == [10, 11, 2, 1, 12, 13, 2]


def test_documents_are_shuffled_whole_by_the_seed():
    def tokens(shuffle, seed):
        return torch.cat([s["input_ids"] for s in packed(1, shuffle, seed)]).tolist()

    def documents(ids):
        return sorted(bytes(ids).decode().split("\0"))

    plain, shuffled = tokens(False, 0), tokens(True, 3)
    assert shuffled != plain and shuffled == tokens(True, 3)
    assert len({tuple(tokens(True, seed)) for seed in range(8)}) > 1
    # The last EOS is a label only; with it the documents are the same ones.
    both = [[0 if token == EOS else token for token in ids] for ids in (plain, shuffled)]
    assert documents(both[0]) == documents(both[1])


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_file_of_rows_is_the_same_data(tmp_path, name):
    write_jsonl(tmp_path / name, RECORDS)
    from_file = packed(8, records=tmp_path / name)
    assert [s["labels"].tolist() for s in from_file] == [s["labels"].tolist() for s in packed(8)]


def test_a_prompt_that_looks_like_a_template_is_text():
    assert render_prompt("<{prompt}> {x}", "{prompt} {}") == "<{prompt} {}> {x}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "p"}', "rows.jsonl:2: field 'response' must be a text, not None"),
        ('{"prompt": 3, "response": "r"}', "rows.jsonl:2: field 'prompt' must be a text, not 3"),
        ('{"prompt": ', "rows.jsonl:2: malformed JSON"),
    ],
)
def test_a_broken_row_is_named(tmp_path, row, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps(RECORDS[0]) + "\n" + row + "\n")
    with pytest.raises(DataError, match=message):
        packed(4, records=tmp_path / "rows.jsonl")


def test_what_cannot_be_packed_is_an_error():
    assert len(packed(67)) == 1
    with pytest.raises(UserError, match="5 documents have 68 tokens; one sequence and its labels need 69"):
        packed(68)
    with pytest.raises(UserError, match="0 documents have 0 tokens"):
        packed(4, records=[])
    with pytest.raises(UserError, match="seq_length must be at least 1, not 0"):
        packed(0)
    with pytest.raises(DataError, match="record 0: field 'response'"):
        packed(4, records=[{"prompt": "p"}])
    with pytest.raises(UserError, match="once, not 0 times"):
        PackedDataset(byte_tokenizer(), RECORDS, 4, False, template="no place")
    tokenizer = TokenizerWithBos()
    tokenizer.eos_token_id = None
    with pytest.raises(UserError, match="eos_token"):
        PackedDataset(tokenizer, RECORDS, 4, False)
    for index in (-1, len(packed(4))):
        with pytest.raises(IndexError):
            packed(4)[index]


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_each_sequence_once(shuffle):
    dataset = packed(6)  # eleven sequences
    batches = iterate_batches(dataset, 4, shuffle, seed=1)
    first, second = list(batches), list(batches)
    assert len(batches) == len(first) == 3
    assert [tuple(batch["input_ids"].shape) for batch in first] == [(4, 6), (4, 6), (3, 6)]
    assert all(batch[name].dtype == torch.int64 for batch in first for name in batch)
    expected = [(s["input_ids"].tolist(), s["labels"].tolist()) for s in dataset]

    def rows(epoch):
        return [
            pair
            for batch in epoch
            for pair in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True)
        ]

    assert sorted(rows(first)) == sorted(rows(second)) == sorted(expected)
    assert (rows(first) == expected) == (not shuffle)
    assert (rows(first) == rows(second)) == (not shuffle)
    assert rows(first) == rows(list(iterate_batches(dataset, 4, shuffle, seed=1)))
