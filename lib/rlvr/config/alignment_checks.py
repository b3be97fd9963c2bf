"""Checks between the keys of section `alignment`, whose every key is sound by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlvr.alignment.arms import METHODS
from rlvr.alignment.job import unsupported_factors
from rlvr.config.estimator_checks import find_estimator_contradictions, find_lone_responses
from rlvr.config.schema import find_problems, hint, line
from rlvr.precision import MODES, resolve_mode

Section = Mapping[str, Any]


def find_alignment_contradictions(study: Section, custom_modes: Section) -> Iterator[str]:
    """Every contradiction of the section, a line each."""
    modes, prompts = [*MODES, *custom_modes], study["prompts"]
    if study["mode"] not in modes:
        wrong = f"{study['mode']} is unknown{hint(study['mode'], modes)}"
        yield line("alignment.mode", wrong, f"{', '.join(modes)} (those of precision.custom_modes included)")
    elif factors := unsupported_factors(resolve_mode(study["mode"], 0.0, custom_modes)):
        wrong = f"{study['mode']} has {' and '.join(factors)}, which not all methods compute"
        yield line("alignment.mode", wrong, "a mode without, fp32 or bf16_mixed for example")
    yield from _check_prompt("alignment.prompt", study["prompt"], prompts)
    generation = study["generation"]
    if generation["min_tokens"] > generation["max_tokens"]:
        allowed = f"at most {generation['max_tokens']}"
        yield line("alignment.generation.min_tokens", "above max_tokens", allowed)
    for method in METHODS:
        yield from _check_method(method, study[method], prompts)
        yield from _check_arms(method, study[method])


def _check_prompt(key: str, name: str, prompts: Section) -> Iterator[str]:
    if name not in prompts:
        yield line(key, f"{name} is unknown{hint(name, prompts)}", ", ".join(prompts))


def _check_method(method: str, section: Section, prompts: Section) -> Iterator[str]:
    """The default settings, and those of every arm of every experiment."""
    places: dict[str, Section] = {f"alignment.{method}.settings": {}}
    for name, experiment in section["experiments"].items():
        for number, arm in enumerate(experiment["arms"]):
            places[f"alignment.{method}.experiments.{name}.arms.{number}"] = arm
    for key, overrides in places.items():
        settings = {**section["settings"], **overrides}
        if problems := find_problems(settings, f"alignment_{method}_settings", key.split(".")):
            yield from problems
        elif method == "grpo":
            yield from _check_grpo(key, settings, prompts)
        else:
            batch = "batch_size" if method == "sft" else "sft_batch_size"
            yield from _check_divides(key, settings, "gradient_accumulation_steps", batch)


def _check_arms(method: str, section: Section) -> Iterator[str]:
    """An experiment compares its arms, so no two of them may be the same."""
    for name, experiment in section["experiments"].items():
        arms = [{**section["settings"], **arm} for arm in experiment["arms"]]
        for number, arm in enumerate(arms):
            if arm in arms[:number]:
                key = f"alignment.{method}.experiments.{name}.arms.{number}"
                yield line(key, f"the same settings as arm {arms.index(arm)}", "arms that differ")


def _check_grpo(key: str, settings: Section, prompts: Section) -> Iterator[str]:
    yield from _check_prompt(f"{key}.prompt", settings["prompt"], prompts)
    yield from find_estimator_contradictions(key, settings, "advantage", "use_std_normalization")
    if settings["loss_type"] == "no_baseline" and settings["advantage"] != "group":
        wrong = f"{settings['advantage']}, but loss_type no_baseline trains on the rewards themselves"
        yield line(f"{key}.advantage", wrong, "group, or another loss_type")
    yield from find_lone_responses(key, settings["group_size"], settings["advantage"], settings["loss_type"])
    # A minibatch holds whole groups.
    yield from _check_divides(key, settings, "group_size", "train_batch_size")
    yield from _check_divides(key, settings, "train_batch_size", "rollout_batch_size")
    yield from _check_divides(key, settings, "gradient_accumulation_steps", "train_batch_size")


def _check_divides(key: str, settings: Section, part: str, whole: str) -> Iterator[str]:
    if settings[whole] % settings[part]:
        wrong = f"{settings[part]} does not divide {whole}, {settings[whole]}"
        yield line(f"{key}.{part}", wrong, f"divisors of {settings[whole]}")
