r"""The answer that a response states: found by rules, in an order that its prompt template sets."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# One pass over the braces of a text: boxes, escaped characters (\{ is no brace), and plain braces.
_BRACES = re.compile(r"(?P<box>\\boxed\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)
_STATED = re.compile(r"\banswer(?:\s+is\b\s*:?|\s*:)[ \t]*(?=\S)", re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]*(?=\S)")
_NUMBER = re.compile(r"-?[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?(?:/[0-9]+)?%?")
_SENTENCE_MARKS = re.compile(r"[{}]|\.(?=\s|$)")


@dataclass(frozen=True)
class Extraction:
    """The text of an answer and the name of the rule that found it; both "" where no rule found any."""

    text: str
    rule: str


def last_boxed(text: str) -> str:
    r"""Return the content of the last balanced, non-empty `\boxed{...}`, or ""; linear in the text."""
    opened: list[int | None] = []
    found = (-1, "")
    for brace in _BRACES.finditer(text):
        if brace["box"] or brace["open"]:
            opened.append(brace.end() if brace["box"] else None)
        elif brace["close"] and opened:
            start = opened.pop()
            if start is not None and (content := text[start : brace.start()].strip()):
                found = max(found, (start, content))
    return found[1]


def _answer_tag(text: str) -> str:
    r"""The content of the last closed `<answer>` tag; of a box inside it, the box's content."""
    opening, closing = "<answer>", "</answer>"
    end = text.rfind(closing)
    start = text.rfind(opening, 0, max(end, 0))
    if start < 0:
        return ""
    content = text[start + len(opening) : end]
    return last_boxed(content) or _unwrapped(content)


def _rest_of_line(lead: re.Pattern[str], text: str) -> str:
    """What stands behind the last `lead`, to the end of its line."""
    start = -1
    for found in lead.finditer(text):
        start = found.end()
    return "" if start < 0 else text[start:].split("\n", maxsplit=1)[0]


def _unwrapped(text: str) -> str:
    """Strip what surrounds an answer in running text: bold marks, formula delimiters, a full stop."""
    text = _first_sentence(text).strip().strip("*").strip()
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            return text[len(left) : -len(right)].strip()
    return text


def _first_sentence(text: str) -> str:
    r"""The text up to the first full stop outside braces: that of `\text{sq. units}` ends no sentence."""
    depth = 0
    for mark in _SENTENCE_MARKS.finditer(text):
        if mark[0] == "." and depth <= 0:
            return text[: mark.start()]
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
    return text


def _last_number(text: str) -> str:
    numbers = _NUMBER.findall(text)
    return numbers[-1] if numbers else ""


RULES: dict[str, Callable[[str], str]] = {
    "boxed": last_boxed,
    "answer_tag": _answer_tag,
    "stated": lambda text: _unwrapped(_rest_of_line(_STATED, text)),
    "hashes": lambda text: _unwrapped(_rest_of_line(_HASHES, text)),
    "number": _last_number,
}
DEFAULT_ORDER = tuple(RULES)
# What a template asks for comes first; templates that ask for nothing have the default order.
_TAGS_FIRST = ("answer_tag", "boxed", "stated", "hashes", "number")
ORDERS: dict[str, tuple[str, ...]] = {"r1_zero": _TAGS_FIRST, "r1_zero_compact": _TAGS_FIRST}


def extraction_order(template: str) -> tuple[str, ...]:
    """Return the rules for responses to a prompt template (`rlvr.data.templates`), first to last."""
    return ORDERS.get(template, DEFAULT_ORDER)


def extract_answer(text: str, order: Sequence[str] = DEFAULT_ORDER) -> Extraction:
    r"""Return what the first rule of `order` finds that finds anything.

    boxed: the last balanced `\boxed{}`. answer_tag: the last `<answer>...</answer>`. stated: what follows the
    last "answer is" or "answer:" on its line. hashes: what follows the last `####` (GSM8K). number: the last
    number. Never raises, whatever the text.
    """
    for rule in order:
        if found := RULES[rule](text):
            return Extraction(found, rule)
    return Extraction("", "")
