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
    """A study with training. `load`: of its GRPO; `gpus`: what `resources` gives one training job.

    `prompt` of the load is what the model's positions leave beside the longest response, unless it is given.
    `max_batch_rows`: that of its sampling. `processes`: those that share one training job, each on a GPU.
    """

    name: str
    key: str
    policy: PolicyShape
    modes: tuple[PrecisionMode, ...]
    load: TrainingLoad
    learning_rate: float
    device: str
    gpus: int
    max_batch_rows: int
    processes: int


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
    sampling, most = sizes.sampling, sizes.sampling["max_batch_rows"]
    room = policy.sizes.max_positions - sampling["max_tokens"]
    load = TrainingLoad(
        rows=sizes.rows,
        drawn_rows=min(sizes.drawn, most),
        samples=sizes.samples,
        prompt=max(room, 0) if prompt is None else prompt,
        response=sampling["max_tokens"],
        top_p=sampling["top_p"],
        tracked=sizes.tracked,
        # `auto` takes a GPU where there is one, and a plan is for the machine that has it.
        device="cpu" if config["device"] == "cpu" else "cuda",
        one_update=sizes.one_update,
    )
    processes = 1
    if name == "precision":
        trainer = config["precision"]["training"]["trainer"]
        load, processes = _with_trainer(load, trainer), trainer["gpus"]
    job = "train_policy" if name == "precision" else "train_alignment_arm"
    return StudyToPlan(
        name,
        key,
        policy,
        _modes(config, name),
        replace(load, accumulates=load.tokens * processes < sizes.minibatch * load.positions),
        sizes.learning_rate,
        config["device"],
        config["resources"][job]["gpu"],
        most,
        processes,
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


TRACKED = 65536  # of the alignment and advantage studies (rlvr.alignment.grpo.TRACKED_UPDATES)


@dataclass(frozen=True)
class _Sizes:
    """Of a training: its section of sampling; rows of a microbatch and of an update; rows drawn in a step or
    a validation, `samples` of a prompt; weights that are tracked. `one_update`: see `TrainingLoad`.
    """

    sampling: Config
    rows: int
    minibatch: int
    drawn: int
    samples: int
    tracked: int
    learning_rate: float
    one_update: bool


def _precision(config: Config) -> _Sizes:
    training = config["precision"]["training"]
    group, gpus = training["group_size"], training["trainer"]["gpus"]
    minibatch = -(-training["prompts_per_step"] // training["minibatches"]) * group
    single = training["epochs"] == training["minibatches"] == 1 and training["loss"]["kl_beta"] == 0
    return _Sizes(
        sampling=training["sampling"],
        rows=min(training["microbatch_size"], minibatch),
        minibatch=minibatch,
        drawn=-(-training["prompts_per_step"] // gpus) * group,  # of one process, which has whole prompts
        samples=group,
        tracked=training["tracked_updates"],
        learning_rate=training["optimizer"]["learning_rate"],
        one_update=single,
    )


def _alignment(config: Config) -> _Sizes:
    """The arms differ: the largest sizes of all, and the smallest learning rate.

    Validations draw one response to each problem.
    """
    settings = list(arms(config["alignment"]["grpo"]).values())
    return _Sizes(
        sampling=config["alignment"]["generation"],
        rows=max(one["train_batch_size"] // one["gradient_accumulation_steps"] for one in settings),
        minibatch=max(one["train_batch_size"] for one in settings),
        drawn=max(*(one["rollout_batch_size"] for one in settings), _validated(config["alignment"])),
        samples=1,
        tracked=TRACKED,
        learning_rate=min(one["learning_rate"] for one in settings),
        one_update=any(
            one["epochs_per_rollout_batch"] == 1 and one["train_batch_size"] == one["rollout_batch_size"]
            for one in settings
        ),
    )


def _advantage(config: Config) -> _Sizes:
    study = config["advantage"]["grpo"]
    settings = study["settings"]
    rows = settings["prompts_per_step"] * settings["group_size"]
    return _Sizes(
        sampling=study["generation"],
        rows=rows,
        minibatch=rows,
        drawn=max(rows, _validated(study)),
        samples=1,
        tracked=TRACKED,
        learning_rate=settings["learning_rate"],
        one_update=True,
    )


def _validated(study: Config) -> int:
    """Responses of a validation; where it has all problems, as many as may be drawn together."""
    rows = (study["validation"]["rows"], study["validation"]["final_rows"])
    return study["generation"]["max_batch_rows"] if None in rows else max(rows)
