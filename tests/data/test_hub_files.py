"""Which files of a repository make a subset and split."""

import json
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

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


def test_a_broken_card_is_named():
    with pytest.raises(DataError, match=r"head of README\.md is not valid YAML"):
        files(NAMES, card="---\na: [1\n---\n")


def card(*configs):
    return f"---\n{json.dumps({'configs': configs})}\n---\n"


FORMS = {
    "a list of splits": [
        {"split": "train", "path": "a.jsonl"},
        {"split": "test", "path": ["b.jsonl", "d/*"]},
    ],
    "a mapping of splits": {"train": "a.jsonl", "test": ["b.jsonl", "d/*"]},
    "an entry alone": {"split": "test", "path": ["b.jsonl", "d/*"]},
}
FORM_NAMES = ["a.jsonl", "b.jsonl", "d/c.parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_data_files_by_split(form):
    text = card({"config_name": "x", "data_files": FORMS[form]})
    assert files(FORM_NAMES, card=text) == ["b.jsonl", "d/c.parquet"]


@pytest.mark.parametrize(
    ("data_files", "expected"),
    [("a.jsonl", ["a.jsonl"]), ("./d/*", ["d/c.parquet"]), (["a.jsonl", "d/**"], ["a.jsonl", "d/c.parquet"])],
)
def test_data_files_without_a_split_are_of_train(data_files, expected):
    text = card({"config_name": "x", "data_files": data_files})
    assert files(FORM_NAMES, split="train", card=text) == expected
    with pytest.raises(
        DataError, match=r"subsets are x, and x has the splits train; the data files are a\.jsonl"
    ):
        files(FORM_NAMES, split="test", card=text)


@pytest.mark.parametrize(
    "data_files",
    [
        7,
        [],
        [7],
        {},
        {"train": None},
        {"train": [["a.jsonl"]]},
        [{"split": "train"}],
        [{"split": "train", "pattern": "a.jsonl"}],
        [{"split": "train", "path": 7}],
        ["a.jsonl", {"split": "test", "path": "b.jsonl"}],
        [{"train": "a.jsonl"}],
        "",
        "/a.jsonl",
        "hf://datasets/o/n/a.jsonl",
        "d/**.jsonl",
    ],
)
def test_a_form_of_data_files_that_is_not_known_is_said(data_files):
    with pytest.raises(DataError, match=r"^o/n@c: data_files of subset x in README.md is ") as caught:
        files(FORM_NAMES, split="train", card=card({"config_name": "x", "data_files": data_files}))
    assert f" is {data_files!r}; allowed: a path, a list of paths, a list of {{split, path}}" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("configs: main", "`configs` in README.md must be a list of subsets, not 'main'"),
        ("configs: {main: {data_files: a.jsonl}}", "must be a list of subsets, not {'main'"),
        ("configs: [{data_files: a.jsonl}]", "has no config_name: {'data_files': 'a.jsonl'}"),
        ("configs: [main]", "has no config_name: 'main'"),
        ("configs: [{config_name: x, data_dir: [d]}]", "data_dir of subset x in README.md must be a path"),
        ("[1, 2]", "must be a mapping, not [1, 2]"),
    ],
)
def test_other_forms_of_a_card_are_said(text, said):
    with pytest.raises(DataError, match=r"^o/n@c: ") as caught:
        files(FORM_NAMES, split="train", card=f"---\n{text}\n---\n")
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "---\n---\n", "---\nlicense: mit\n---\n", "---\nconfigs:\n---\n"])
def test_a_card_without_subsets_leaves_it_to_the_names(text):
    assert files(["test.jsonl", "train.jsonl"], card=text) == ["test.jsonl"]


def test_a_folder_of_a_subset():
    names = [
        "a/test.jsonl",
        "b/data/test-00000-of-00001.parquet",
        "b/rows/1.jsonl",
        "test.jsonl",
        ".h/test.jsonl",
    ]
    text = card(
        {"config_name": "a", "data_dir": "a"},
        {"config_name": "b", "data_dir": "./b/"},
        {"config_name": "rows", "data_dir": "b", "data_files": "rows/*"},
        {"config_name": "top", "sep": ";"},
        {"config_name": "hidden", "data_dir": ".h"},
    )
    assert files(names, "a", card=text) == names[:1]
    assert files(names, "b", card=text) == names[1:2]
    assert files(names, "rows", "train", text) == names[2:3]
    assert files(names, "top", card=text) == names[3:4]
    assert files(names, "hidden", card=text) == names[4:]


def test_a_pattern_without_files_is_named():
    text = card({"config_name": "x", "data_files": ["a.jsonl", "e/*.csv"]})
    with pytest.raises(
        DataError, match=r"o/n@c: the card gives subset x and split train e/\*\.csv, but no file"
    ):
        files([*FORM_NAMES, "e/f.csv"], split="train", card=text)


TREE = [
    "1.jsonl",
    "ab.jsonl",
    "d/1.jsonl",
    "d/e/1.jsonl",
    "d/e/f/2.jsonl",
    "train/x-00000.jsonl",
]
HIDDEN = [".h.jsonl", ".d/1.jsonl", "d/.h.jsonl", "__d/1.jsonl", "d/__h.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["1.jsonl", "ab.jsonl"]),
        ("*.jsonl", ["1.jsonl", "ab.jsonl"]),
        ("d/*", ["d/1.jsonl", "d/__h.jsonl"]),
        ("*/*.jsonl", ["d/1.jsonl", "d/__h.jsonl", "train/x-00000.jsonl"]),
        ("d/**", ["d/1.jsonl", "d/__h.jsonl", "d/e/1.jsonl", "d/e/f/2.jsonl"]),
        ("**/1.jsonl", ["1.jsonl", "d/1.jsonl", "d/e/1.jsonl"]),
        ("d/**/*.jsonl", ["d/1.jsonl", "d/__h.jsonl", "d/e/1.jsonl", "d/e/f/2.jsonl"]),
        ("**/e/**", ["d/e/1.jsonl", "d/e/f/2.jsonl"]),
        ("d/*/*/*", ["d/e/f/2.jsonl"]),
        ("?.jsonl", ["1.jsonl"]),
        ("[!0-9]*.jsonl", ["ab.jsonl"]),
        ("train/x-[0-9][0-9][0-9][0-9][0-9].jsonl", ["train/x-00000.jsonl"]),
        (".*", [".h.jsonl"]),
        (".d/*", [".d/1.jsonl"]),
        ("__*/*", ["__d/1.jsonl"]),
    ],
)
def test_a_star_stays_in_a_folder_and_two_do_not(pattern, expected):
    text = card({"config_name": "x", "data_files": pattern})
    assert files(TREE + HIDDEN, split="train", card=text) == sorted(expected)


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "**",
        "d/*",
        "d/**",
        "**/*",
        "*/**",
        "**/d/**",
        "d/**/1.jsonl",
        "**/[12].jsonl",
        "d/*/?.jsonl",
        "**/e/*",
    ],
)
def test_patterns_find_what_the_hub_s_file_system_finds(tmp_path, pattern):
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    globbed = [Path(path) for path in LocalFileSystem().glob(f"{tmp_path}/{pattern}")]
    expected = sorted(path.relative_to(tmp_path).as_posix() for path in globbed if path.is_file())
    assert expected
    assert files(TREE, split="train", card=card({"config_name": "x", "data_files": pattern})) == expected
