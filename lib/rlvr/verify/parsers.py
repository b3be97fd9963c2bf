"""Answers to MMLU and GSM8K questions as the supplement to CS336 (spring 2025), assignment 5 reads them."""

import re
from collections.abc import Sequence

from rlvr.data.templates import LETTERS
from rlvr.verify.choice import extract_choice

# Commas separate thousands only ("1,2,3" is three numbers), and a hyphen behind a digit, a letter or a
# bracket is no sign ("5-7", "10)-3").
_NUMBER = re.compile(
    r"(?:(?<![\w)])-)?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|(?<!\w)\.[0-9]+)"
)


def parse_mmlu_response(options: Sequence[str], response: str) -> str | None:
    """The letter of the option that a response settles on (A for the first), or None.

    An option's own text counts as well as its letter (see `rlvr.verify.choice.extract_choice`); a letter
    beyond the options is none. Never raises, whatever the response.
    """
    letter = extract_choice(response, options).text
    return letter if letter in tuple(LETTERS[: len(options)]) else None


def parse_gsm8k_response(response: str) -> str | None:
    """The last number of a response as text that `float` reads (no thousands separators), or None.

    Never raises, whatever the response.
    """
    numbers = _NUMBER.findall(response)
    return numbers[-1].replace(",", "") if numbers else None
