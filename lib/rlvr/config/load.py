"""From what a person wrote to a complete and sound config; the only reader of raw config mappings."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from rlvr.config.schema import fill_defaults, find_problems, read_schema
from rlvr.errors import UserError

Config = dict[str, Any]
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


class ConfigError(UserError):
    """A config that is not sound; the message has a line for each problem."""


def validate_config(raw: Any) -> Config:
    """The config with all defaults filled in, as a new mapping.

    Raises ConfigError that lists every problem as `key.path: what is wrong; allowed: ...`. Checks between
    keys are made once each key is sound by itself.
    """
    config = fill_defaults({} if raw is None else raw, read_schema())
    problems = find_problems(config) or list(_find_contradictions(config))
    if problems:
        raise ConfigError("the config is not valid:\n" + "\n".join(f"  {line}" for line in problems))
    return config


def load_config(path: str | Path) -> Config:
    """Read a YAML config file and validate it; a missing file or broken YAML is a ConfigError too."""
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    return validate_config(raw)


def check_data_files(config: Config) -> None:
    """Raise one ConfigError that names every local data file of a valid config that is not there."""
    root = Path(config["data_root"])
    missing = [
        f"{key}.path: the file {root / section['path']} does not exist"
        for key, section in _file_sections(config)
        if not (root / section["path"]).is_file()
    ]
    if missing:
        where = f"data_root is {config['data_root'] or 'empty'} (from {Path.cwd()})"
        advice = "put the files there, or set data_root to the folder that has them"
        lines = "\n".join(f"  {line}" for line in missing)
        raise ConfigError(f"data files are missing; {where}; {advice}:\n{lines}")


def _file_sections(config: Config) -> Iterator[tuple[str, Config]]:
    for number, source in enumerate(config["data"]["train"]["sources"]):
        if source["kind"] == "jsonl":
            yield f"data.train.sources.{number}", source
    for task, data in config["data"]["evaluation"].items():
        if data["source"]["kind"] == "jsonl":
            yield f"data.evaluation.{task}.source", data["source"]
    if config["base"].get("examples", {}).get("kind") == "jsonl":
        yield "base.examples", config["base"]["examples"]


def _find_contradictions(config: Config) -> Iterator[str]:
    yield from _check_base(config["base"])
    yield from _check_holdout(config["data"])
    yield from _check_training(config["precision"]["training"])
    yield from _check_evaluation(config["precision"]["evaluation"], config["data"]["evaluation"])
    yield from _check_arms(config["precision"])


def _check_base(base: Config) -> Iterator[str]:
    if base["kind"] == "pretrained":
        yield from _check_revision("base", base)
        return
    shape = base["architecture"]
    if shape["hidden_size"] % (2 * shape["heads"]):
        yield "base.architecture.heads: every head needs an even width; allowed: hidden_size / heads even and whole"
    if shape["heads"] % shape["kv_heads"]:
        yield f"base.architecture.kv_heads: does not divide heads; allowed: divisors of {shape['heads']}"
    examples = base["examples"]
    shares = [examples.get(key, 0.0) for key in ("right", "wrong_rule", "slip")]
    if examples["kind"] == "families" and abs(sum(shares) - 1) > 1e-9:
        yield f"base.examples: right, wrong_rule and slip sum to {sum(shares):g}; allowed: a sum of 1"


def _check_revision(key: str, policy: Mapping[str, Any]) -> Iterator[str]:
    """A hub id is two words with a slash that name no local folder."""
    path = policy["path"]
    if HUB_ID.fullmatch(path) and not Path(path).exists() and not policy["revision"]:
        yield (
            f"{key}.revision: missing for the hub id {path}; "
            "allowed: a commit of the hub repository (or give path as an existing folder)"
        )


def _check_holdout(data: Config) -> Iterator[str]:
    holdout = data["train"]["holdout"]
    tasks = [task for task, section in data["evaluation"].items() if section["source"]["kind"] == "holdout"]
    if any(source["kind"] == "holdout" for source in data["train"]["sources"]):
        yield "data.train.sources: a holdout cannot be trained on; allowed: kinds synthetic, jsonl"
    for task in tasks:
        if holdout is None:
            yield (
                f"data.evaluation.{task}.source: is a holdout, but data.train.holdout is not set; "
                f"allowed: data.train.holdout: {{task: {task}, rows: ...}}"
            )
        elif holdout["task"] != task:
            yield (
                f"data.evaluation.{task}.source: is a holdout, but data.train.holdout.task is {holdout['task']}; "
                "allowed: the holdout under that one name"
            )
    if holdout is not None and holdout["task"] not in tasks:
        yield (
            f"data.train.holdout.task: {holdout['task']} is no evaluation task with source {{kind: holdout}}; "
            f"allowed: {', '.join(tasks) or 'first give data.evaluation such a task'}"
        )


def _check_training(training: Config) -> Iterator[str]:
    sampling = training["sampling"]
    if training["minibatches"] > training["prompts_per_step"] * training["group_size"]:
        yield "precision.training.minibatches: more than rollouts in a step; allowed: prompts_per_step * group_size"
    if sampling["min_tokens"] > sampling["max_tokens"]:
        yield f"precision.training.sampling.min_tokens: above max_tokens; allowed: at most {sampling['max_tokens']}"
    if training["overlong"]["buffer_tokens"] > sampling["max_tokens"]:
        yield (
            "precision.training.overlong.buffer_tokens: longer than a response; "
            f"allowed: at most {sampling['max_tokens']}"
        )
    for step in training["snapshot_steps"]:
        if step > training["steps"]:
            yield (
                f"precision.training.snapshot_steps: {step} is after the last step; "
                f"allowed: 1 to {training['steps']}"
            )


def _check_evaluation(evaluation: Config, data_tasks: Config) -> Iterator[str]:
    prefix = "precision.evaluation"
    tasks = evaluation["tasks"]
    for task, section in tasks.items():
        if task not in data_tasks:
            yield f"{prefix}.tasks.{task}: has no data; allowed: {', '.join(data_tasks)} (data.evaluation)"
        for k in section["pass_at"]:
            if k > section["samples"]:
                yield f"{prefix}.tasks.{task}.pass_at: {k} exceeds samples; allowed: at most {section['samples']}"
    used = Counter(task for suite in evaluation["suites"].values() for task in suite)
    for suite, members in evaluation["suites"].items():
        for task in members:
            if task not in tasks:
                yield f"{prefix}.suites.{suite}: {task} is no task; allowed: {', '.join(tasks)} ({prefix}.tasks)"
    for task, count in used.items():
        if count > 1:
            yield f"{prefix}.suites: {task} stands in {count} suites; allowed: each task in one suite"
    if evaluation["on_task"] not in used:
        yield (
            f"{prefix}.on_task: {evaluation['on_task']} is in no suite; "
            f"allowed: {', '.join(used)} (the tasks in {prefix}.suites)"
        )


def _check_arms(precision: Config) -> Iterator[str]:
    externals = precision["external_policies"]
    arms = list(dict.fromkeys([*precision["modes"], *(policy["arm"] for policy in externals)]))
    reference = precision["analysis"]["reference"]
    if reference not in arms:
        yield f"precision.analysis.reference: {reference} is no arm of the study; allowed: {', '.join(arms)}"
    runs = {(mode, seed) for mode in precision["modes"] for seed in range(1, precision["seeds"] + 1)}
    names = set()
    for number, policy in enumerate(externals):
        key = f"precision.external_policies.{number}"
        yield from _check_revision(key, policy)
        if policy["name"] in names:
            yield f"{key}.name: {policy['name']} is taken; allowed: a name of its own"
        if policy["arm"] == "base":
            yield f"{key}.arm: base is the policy that runs start from; allowed: any other name"
        if (policy["arm"], policy["seed"]) in runs:
            yield f"{key}.seed: {policy['arm']} has a seed {policy['seed']} already; allowed: one that is free"
        names.add(policy["name"])
        runs.add((policy["arm"], policy["seed"]))
