"""What the planner needs of a study: its policy, its modes, and the load of its heaviest training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlvr.alignment.arms import arms
from rlvr.plan.memory import TrainingLoad
from rlvr.plan.shapes import PolicyShape, policy_shape
from rlvr.precision import PrecisionMode, resolve_mode

Config = Mapping[str, Any]


@dataclass(frozen=True)
class StudyToPlan:
    """A study with training. `load`: of its GRPO; `gpus`: of one training job.

    `prompt` of the load is what the model's positions leave beside the longest response, unless it is given.
    """

    name: str
    key: str
    policy: PolicyShape
    modes: tuple[PrecisionMode, ...]
    load: TrainingLoad
    learning_rate: float
    device: str
    gpus: int


def study_to_plan(
    config: Config, name: str, prompt: int | None = None, model_config: str | None = None
) -> StudyToPlan:
    """Gather a study's settings. `model_config`: a config.json for its policy.

    UserError where the policy's sizes are not known.
    """
    results = Path("results") / config["name"]
    section, key, built = {
        "precision": (config, "base", results / "base"),
        "alignment": (config["alignment"], "alignment.base", results / "alignment" / "base"),
        "advantage": (config["advantage"]["grpo"], "advantage.grpo.base", results / "advantage" / "base"),
    }[name]
    policy = policy_shape(key, section["base"], built / "policy", model_config)
    sizes = {"precision": _precision, "alignment": _alignment, "advantage": _advantage}[name](config)
    sampling, rows, drawn, group, tracked, rate = sizes
    room = policy.sizes.max_positions - sampling["max_tokens"]
    load = TrainingLoad(
        rows=rows,
        drawn_rows=min(drawn, sampling["max_batch_rows"]),
        samples=group,
        prompt=max(room, 0) if prompt is None else prompt,
        response=sampling["max_tokens"],
        top_p=sampling["top_p"],
        tracked=tracked,
        # `auto` takes a GPU where there is one, and a plan is for the machine that has it.
        device="cpu" if config["device"] == "cpu" else "cuda",
    )
    if name == "precision":
        load = _with_trainer(load, config["precision"]["training"]["trainer"])
    job = "train_policy" if name == "precision" else "train_alignment_arm"
    return StudyToPlan(
        name, key, policy, _modes(config, name), load, rate, config["device"], config["resources"][job]["gpu"]
    )


def _with_trainer(load: TrainingLoad, trainer: Config) -> TrainingLoad:
    """The load with what the trainer computes at a time; the rows of a budget of tokens are rounded up."""
    tokens = trainer["microbatch_tokens"]
    return replace(
        load,
        rows=load.rows if tokens is None else -(-tokens // load.positions),
        microbatch_tokens=tokens,
        recompute_activations=trainer["recompute_activations"],
        vocabulary_chunk=trainer["vocabulary_chunk"],
    )


def _modes(config: Config, name: str) -> tuple[PrecisionMode, ...]:
    study = config["precision"]
    single = {"alignment": config["alignment"]["mode"], "advantage": config["advantage"]["grpo"]["mode"]}
    names = study["modes"] if name == "precision" else [single[name]]
    return tuple(resolve_mode(mode, study["dropout_rate"], study["custom_modes"]) for mode in names)


# Sampling section; rows of a microbatch, and drawn in a step; samples a prompt; tracked weights; rate.
_Sizes = tuple[Config, int, int, int, int, float]
TRACKED = 65536  # of the alignment and advantage studies (rlvr.alignment.grpo.TRACKED_UPDATES)


def _precision(config: Config) -> _Sizes:
    training = config["precision"]["training"]
    drawn = training["prompts_per_step"] * training["group_size"]
    minibatch = -(-training["prompts_per_step"] // training["minibatches"]) * training["group_size"]
    rate = training["optimizer"]["learning_rate"]
    rows = min(training["microbatch_size"], minibatch)
    return training["sampling"], rows, drawn, training["group_size"], training["tracked_updates"], rate


def _alignment(config: Config) -> _Sizes:
    """The arms differ: the largest microbatch and batch of all, and the smallest learning rate."""
    settings = list(arms(config["alignment"]["grpo"]).values())
    rows = max(one["train_batch_size"] // one["gradient_accumulation_steps"] for one in settings)
    drawn = max(one["rollout_batch_size"] for one in settings)
    group = min(one["group_size"] for one in settings)
    rate = min(one["learning_rate"] for one in settings)
    return config["alignment"]["generation"], rows, drawn, group, TRACKED, rate


def _advantage(config: Config) -> _Sizes:
    study = config["advantage"]["grpo"]
    settings = study["settings"]
    rows = settings["prompts_per_step"] * settings["group_size"]
    return study["generation"], rows, rows, settings["group_size"], TRACKED, settings["learning_rate"]
