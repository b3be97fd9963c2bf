"""Checks of the keys that choose an estimator of the advantage, in whichever section they stand."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlvr.config.schema import line


def find_estimator_contradictions(
    key: str, settings: Mapping[str, Any], estimator_key: str, std_key: str
) -> Iterator[str]:
    """Contradictions of the settings under `key`, a line each.

    `estimator_key` and `std_key`: how the section calls the estimator and the division by the deviation.
    """
    estimator, least, size = settings[estimator_key], settings["min_count"], settings["buffer_size"]
    if not settings[std_key] and estimator not in ("group", "none"):
        wrong = f"false, but {estimator_key} {estimator} always divides by the standard deviation"
        yield line(f"{key}.{std_key}", wrong, f"true, or {estimator_key} group")
    if estimator == "per_prompt_buffer" and least > size:
        wrong = f"{least} rewards never fit in a buffer of buffer_size, {size}"
        yield line(f"{key}.min_count", wrong, f"at most {size}")


def find_lone_responses(key: str, group_size: int, estimator: str, loss_type: str) -> Iterator[str]:
    """A group of one response is its own mean, so that estimator `group` leaves nothing to learn from."""
    if group_size == 1 and estimator == "group" and loss_type != "no_baseline":
        wrong = "1, but the advantage is a reward minus the mean of its group: always zero"
        yield line(f"{key}.group_size", wrong, "2 or more, or another estimator of the advantage")
