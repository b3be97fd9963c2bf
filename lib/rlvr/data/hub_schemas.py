r"""Row schemas: how the columns of the usual uploads of a data set become question, answer and so on.

A schema has one layout for each known set of columns. What a layout makes of a row has the fields `question`
and `answer`, and where the schema has them `choices`, `tests` and `entry_point`, as in a local file.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import cached_property
from typing import Any

from rlvr.config.sources import JsonlSource
from rlvr.data.templates import LETTERS
from rlvr.verify.extraction import last_boxed

Row = Mapping[str, Any]

# The words around every question of BytedTsinghua-SIA/DAPO-Math-17k; the project's own templates ask in their
# own words.
DAPO_HEAD = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_TAIL = '\n\nRemember to put your answer on its own line after "Answer:".'
_UNBRACED_BOX = re.compile(r"\\boxed\s+([^\s{}$.]+)")
_WHOLE = re.compile(r"(-?[0-9]+)(?:\.0*)?(?:\s*\^\s*\{?\\circ\}?)?")


class UnreadableValue(ValueError):
    """A value of a row that a schema cannot read; the message says why, the caller where."""


def _dapo_question(prompt: Any) -> Any:
    """The bare question: the processed upload has it as text, the original as a framed chat message.

    A text may be framed too: the script beside the processed upload copies the message as it is.
    """
    if isinstance(prompt, str):
        return _unframed(prompt) if prompt.startswith(DAPO_HEAD) or prompt.endswith(DAPO_TAIL) else prompt
    messages = prompt if isinstance(prompt, list) else []
    contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
    if len(contents) != 1 or not isinstance(contents[0], str):
        raise UnreadableValue("prompt must be a text or one chat message with a text")
    return _unframed(contents[0])


def _unframed(text: str) -> str:
    if not (text.startswith(DAPO_HEAD) and text.endswith(DAPO_TAIL)):
        raise UnreadableValue(f"prompt lacks the words that frame every question of DAPO: {text[:60]!r}")
    return text[len(DAPO_HEAD) : -len(DAPO_TAIL)]


def _boxed(solution: Any) -> str:
    r"""What the solution's last `\boxed{}` holds, or `\boxed 2` without braces."""
    text = solution if isinstance(solution, str) else ""
    unbraced = _UNBRACED_BOX.findall(text)
    found = last_boxed(text) or (unbraced[-1] if unbraced else "")
    if not found:
        raise UnreadableValue(f"the solution states no \\boxed answer: {text[-60:]!r}")
    return found


def _after_hashes(answer: Any) -> str:
    """GSM8K: what follows the last `####`, without separators of thousands."""
    _, hashes, found = answer.rpartition("####") if isinstance(answer, str) else ("", "", "")
    if not hashes:
        raise UnreadableValue(f"the answer has no ####: {str(answer)[-60:]!r}")
    return found.strip().replace(",", "")


def _whole_number(value: Any) -> str:
    r"""`033`, `27.0`, `336^\circ` and whole numbers of any type, as the number without ornament."""
    found = _WHOLE.fullmatch(str(value).strip())
    if not found or isinstance(value, bool):
        raise UnreadableValue(f"the answer is no whole number: {str(value)[:60]!r}")
    return str(int(found[1]))


def _boxed_whole_number(solution: Any) -> str:
    return _whole_number(_boxed(solution))


def _letter(answer: Any) -> str:
    """MMLU: the letter of the right choice's index."""
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(LETTERS):
        raise UnreadableValue(f"the answer must be the index of a choice, not {str(answer)[:60]!r}")
    return LETTERS[answer]


def _as_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Layout:
    """Columns of an upload; a dot leads into a column of records. Without `id` rows are numbered."""

    question: str
    answer: str
    id: str = ""
    choices: str = ""
    tests: str = ""
    entry_point: str = ""
    read_question: Callable[[Any], Any] = _as_is
    read_answer: Callable[[Any], Any] = _as_is

    @cached_property
    def columns(self) -> dict[str, str]:
        """The column of each field that the layout has."""
        named = {field.name: getattr(self, field.name) for field in fields_of(self)}
        return {name: column for name, column in named.items() if isinstance(column, str) and column}

    @cached_property
    def fields(self) -> JsonlSource:
        """The names of the fields that `read` gives, as those of a local file."""
        return JsonlSource(
            "jsonl",
            "",
            choices_field="choices" if self.choices else "",
            tests_field="tests" if self.tests else "",
            entry_point_field="entry_point" if self.entry_point else "",
        )

    def missing(self, row: Row) -> list[str]:
        """The columns that a row lacks."""
        return [column for column in self.columns.values() if not _has(row, column)]

    def read(self, row: Row) -> dict[str, Any]:
        """The fields of a row that lacks no column; UnreadableValue where a value is of no use."""
        values = {name: value_at(row, column) for name, column in self.columns.items()}
        values["question"] = self.read_question(values["question"])
        values["answer"] = self.read_answer(values["answer"])
        return values


def _has(row: Any, column: str) -> bool:
    head, _, rest = column.partition(".")
    return isinstance(row, dict) and head in row and (not rest or _has(row[head], rest))


def value_at(row: Any, column: str) -> Any:
    """The value of a column that the row has; dots lead into records."""
    for name in column.split("."):
        row = row[name]
    return row


_AIME = (
    # HuggingFaceH4/aime_2024, math-ai/aime25, yentinglin/aime_2025
    Layout("problem", "answer", "id", read_answer=_whole_number),
    # Maxwell-Jia/AIME_2024
    Layout("Problem", "Answer", "ID", read_answer=_whole_number),
    # math-ai/aime24
    Layout("problem", "solution", "id", read_answer=_boxed_whole_number),
    # opencompass/AIME2025
    Layout("question", "answer", read_answer=_whole_number),
)
ROW_SCHEMAS: dict[str, tuple[Layout, ...]] = {
    "dapo_math_17k": (
        # BytedTsinghua-SIA/DAPO-Math-17k, open-r1/DAPO-Math-17k-Processed
        Layout("prompt", "reward_model.ground_truth", "extra_info.index", read_question=_dapo_question),
    ),
    # EleutherAI/hendrycks_math, the copies of hendrycks/competition_math
    "math": (Layout("problem", "solution", read_answer=_boxed),),
    # HuggingFaceH4/MATH-500
    "math500": (Layout("problem", "answer", "unique_id"),),
    # openai/gsm8k
    "gsm8k": (Layout("question", "answer", read_answer=_after_hashes),),
    "aime24": _AIME,
    "aime25": _AIME,
    "amc23": (
        # math-ai/amc23
        Layout("question", "answer", "id", read_answer=_whole_number),
        # AI-MO/aimo-validation-amc, which has the AMC of 2022 too
        Layout("problem", "answer", "id", read_answer=_whole_number),
    ),
    # cais/mmlu
    "mmlu": (Layout("question", "answer", choices="choices", read_answer=_letter),),
    # openai/openai_humaneval
    "humaneval": (
        Layout("prompt", "canonical_solution", "task_id", tests="test", entry_point="entry_point"),
    ),
}
