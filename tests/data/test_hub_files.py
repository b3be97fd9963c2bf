"""Which files of a repository make a subset and split."""

import pytest

from rlvr.data.hub_files import split_files
from rlvr.data.rows import DataError

GSM8K = """---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: test
    path: [socratic/test-*, more/*.jsonl]
---
# Card
"""
NAMES = [
    "README.md",
    ".gitattributes",
    "main/test-00000-of-00001.parquet",
    "main/train-00000-of-00002.parquet",
    "main/train-00001-of-00002.parquet",
    "socratic/test-00000-of-00001.parquet",
    "more/a.jsonl",
    "more/a.txt",
]


def files(names, subset="", split="test", card=""):
    return split_files("o/n@c", names, card, subset, split)


def test_the_card_says_which():
    assert files(NAMES, "main", "train", GSM8K) == NAMES[3:5]
    assert files(NAMES, "socratic", "test", GSM8K) == ["more/a.jsonl", "socratic/test-00000-of-00001.parquet"]


def test_the_card_s_default_needs_no_name():
    one = "---\nconfigs:\n- {config_name: x, data_files: rows.jsonl}\n---\n"
    assert files(["rows.jsonl"], split="train", card=one) == ["rows.jsonl"]
    marked = GSM8K.replace("- config_name: main\n", "- config_name: main\n  default: true\n")
    assert files(NAMES, card=marked) == ["main/test-00000-of-00001.parquet"]


def test_a_subset_that_must_be_named_or_is_not_there():
    with pytest.raises(DataError, match="name them in `subsets`: main, socratic"):
        files(NAMES, card=GSM8K)
    with pytest.raises(DataError, match="o/n@c has no subset mian; allowed: main, socratic"):
        files(NAMES, "mian", card=GSM8K)


@pytest.mark.parametrize(
    ("names", "subset", "split", "expected"),
    [
        (["test.jsonl", "train.jsonl"], "", "test", ["test.jsonl"]),
        (["data/train-00000-of-00001.parquet"], "", "train", ["data/train-00000-of-00001.parquet"]),
        (["data/dapo-math-17k.parquet"], "", "train", ["data/dapo-math-17k.parquet"]),
        (["en/train-x.parquet", "cn/train-x.parquet"], "en", "train", ["en/train-x.parquet"]),
        (["data/en/test.jsonl.gz"], "en", "test", ["data/en/test.jsonl.gz"]),
    ],
)
def test_names_say_which_where_there_is_no_card(names, subset, split, expected):
    assert files(names, subset, split) == expected


@pytest.mark.parametrize(
    "names", [["data/rows.parquet"], ["train.jsonl"], ["testing.jsonl", "train.jsonl"], []]
)
def test_no_files_of_a_split_lists_what_is_there(names):
    with pytest.raises(DataError, match=r"no file of subset \(default\) and split test") as caught:
        files(names)
    assert (", ".join(names) or "none") in str(caught.value)


def test_all_shards_must_be_there():
    with pytest.raises(DataError, match="is there without main/train-00001-of-00002"):
        files(NAMES[:4], "main", "train", GSM8K)


def test_a_broken_card_is_named():
    with pytest.raises(DataError, match=r"head of README\.md is not valid YAML"):
        files(NAMES, card="---\na: [1\n---\n")
