"""Checks between the keys of section `advantage`, whose every key is sound by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlvr.config.schema import hint, line
from rlvr.precision import MODES

Section = Mapping[str, Any]


def find_advantage_contradictions(study: Section, custom_modes: Section) -> Iterator[str]:
    """Every contradiction of the section, a line each."""
    yield from _check_reference(study["reference"])
    yield from _check_grpo(study["grpo"], [*MODES, *custom_modes])


def _check_reference(section: Section) -> Iterator[str]:
    key, problem, tracker = "advantage.reference", section["problem"], section["tracker"]
    yield from _at_most(
        f"{key}.tracker.min_count", tracker["min_count"], "buffer_size", tracker["buffer_size"]
    )
    yield from _at_most(f"{key}.problem.score_epochs", problem["score_epochs"], "epochs", problem["epochs"])
    if tracker["decay"] not in section["decays"]:
        wrong = f"{tracker['decay']:g} is none of decays, so that the variants have nothing to stand beside"
        yield line(f"{key}.tracker.decay", wrong, ", ".join(f"{decay:g}" for decay in section["decays"]))
    sizes, counts = section["sweep"]["buffer_sizes"], section["sweep"]["min_counts"]
    if min(counts) > max(sizes):
        wrong = f"none of {counts} rewards fits in a buffer of {sizes}"
        yield line(f"{key}.sweep.min_counts", wrong, f"at most {max(sizes)}")


def _check_grpo(section: Section, modes: list[str]) -> Iterator[str]:
    key, settings, questions = "advantage.grpo", section["settings"], section["data"]["questions"]
    if section["mode"] not in modes:
        wrong = f"{section['mode']} is unknown{hint(section['mode'], modes)}"
        yield line(f"{key}.mode", wrong, f"{', '.join(modes)} (those of precision.custom_modes included)")
    generation, steps = section["generation"], section["comparison"]["score_steps"]
    yield from _at_most(
        f"{key}.generation.min_tokens", generation["min_tokens"], "max_tokens", generation["max_tokens"]
    )
    yield from _at_most(f"{key}.comparison.score_steps", steps, "settings.steps", settings["steps"])
    least, size = settings["min_count"], settings["buffer_size"]
    yield from _at_most(f"{key}.settings.min_count", least, "buffer_size", size)
    # A step that asked a question twice would hold two groups of it.
    prompts = settings["prompts_per_step"]
    yield from _at_most(f"{key}.settings.prompts_per_step", prompts, "data.questions", questions)


def _at_most(key: str, value: int, other: str, limit: int) -> Iterator[str]:
    if value > limit:
        yield line(key, f"{value} is above {other}, {limit}", f"at most {limit}")
