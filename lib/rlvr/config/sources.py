"""Where the rows of a data set come from: one frozen dataclass per kind of source."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SyntheticSource:
    """Problems of an embedded family (`rlvr.data.families`)."""

    kind: Literal["synthetic"]
    family: str
    split: Literal["train", "held_out"]


@dataclass(frozen=True)
class JsonlSource:
    """Rows of a local `.jsonl` or `.jsonl.gz` file, relative to `data_root`, by the names of its fields."""

    kind: Literal["jsonl"]
    path: str
    id_field: str = "id"
    prompt_field: str = "question"
    answer_field: str = "answer"
    # A list of choices shown under the question (multiple choice), or "" when there are none.
    choices_field: str = ""
    # The tests of a program and the name that they call (verifier code), or "" when there are none.
    tests_field: str = ""
    entry_point_field: str = ""
    # A field that lists known near-copies of evaluation problems; rows where it is not empty are dropped.
    overlap_field: str = ""
    # Rows known to be unusable (say, an empty answer upstream), by id; left out and counted.
    excluded_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class HubSource:
    """Rows of a data set of the Hugging Face hub at one commit, read from the hub cache (`rlvr.hub`)."""

    kind: Literal["hub"]
    repo: str
    revision: str
    # What the upload's columns mean, by name (`rlvr.data.hub_schemas`).
    schema: str
    split: str
    # Subsets (configs) of the upload, read one after the other; none for its only or default one.
    subsets: tuple[str, ...] = ()
    # As in a local file.
    overlap_field: str = ""
    excluded_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class HoldoutSource:
    """The rows held out of the training sources (`data.train.holdout`)."""

    kind: Literal["holdout"]


# What has rows of its own.
RowSource = SyntheticSource | JsonlSource | HubSource
Source = RowSource | HoldoutSource
SOURCE_KINDS = {
    "synthetic": SyntheticSource,
    "jsonl": JsonlSource,
    "hub": HubSource,
    "holdout": HoldoutSource,
}
