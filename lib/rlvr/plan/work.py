"""How many tokens the jobs of a study generate, and the hours that this takes at a throughput.

A throughput is that of the whole training loop, in response tokens per second: `tokens_per_second` of
metrics.csv. An evaluation is taken to generate as fast per GPU, though it updates nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlvr.alignment.arms import METHODS, arms
from rlvr.plan.problems import evaluation_problems, source_rows, training_problems

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """Jobs of one rule and the tokens of all of them together; `left_out` names tasks of unknown size."""

    rule: str
    jobs: int
    gpus: int
    tokens: float
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hours:
    """Hours of one job on average, and of all of them times the GPUs (or CPU jobs) of each."""

    rule: str
    jobs: int
    gpus: int
    hours_a_job: float
    total: float
    left_out: tuple[str, ...]


def hours_of(work: Work, tokens_per_second: float, training_gpus: int) -> Hours:
    """`tokens_per_second`: of one training job on its `training_gpus` (0: on a CPU)."""
    per_device = tokens_per_second / max(training_gpus, 1)
    total = work.tokens / per_device / 3600
    return Hours(work.rule, work.jobs, work.gpus, total / work.jobs / max(work.gpus, 1), total, work.left_out)


def step_tokens(config: Config, study: str, response: float) -> float:
    """Response tokens of one step of the study's training, with none resampled."""
    if study == "alignment":
        return config["alignment"]["grpo"]["settings"]["rollout_batch_size"] * response
    settings = config["precision"]["training"] if study == "precision" else _estimators(config)["settings"]
    return settings["prompts_per_step"] * settings["group_size"] * response


def study_work(config: Config, study: str, response: float | None) -> list[Work]:
    """The training and sampling of a study. `response`: mean tokens of a response; None for the longest."""
    return {"precision": _precision, "alignment": _alignment, "advantage": _advantage}[study](
        config, response
    )


def _length(longest: int, response: float | None) -> float:
    return longest if response is None else min(longest, response)


def _estimators(config: Config) -> Config:
    return config["advantage"]["grpo"]


def _precision(config: Config, response: float | None) -> list[Work]:
    study, resources = config["precision"], config["resources"]
    runs = len(study["modes"]) * study["seeds"] * study["repeats"]
    length = _length(study["training"]["sampling"]["max_tokens"], response)
    tokens = study["training"]["steps"] * step_tokens(config, "precision", length)
    suites = study["evaluation"]["suites"]
    used = [task for members in suites.values() for task in members]
    counts = {task: evaluation_problems(config, task) for task in used}
    left_out = tuple(task for task, count in counts.items() if count is None)
    known = {task: count for task, count in counts.items() if count is not None}
    gpus = resources["evaluate_policy"]["gpu"]
    run = sum(_evaluated(study, task, count, response) for task, count in known.items())
    base = sum(_sampled(study, task, count, response) for task, count in known.items())
    base *= study["evaluation"]["base_samples_factor"]
    external, policies = 0.0, len(study["external_policies"])
    for task, count in known.items():
        external += _sampled(study, task, count, response) + _compared(study, task, count, response)
    work = [
        *([_selection(config, gpus, length)] if study["perfectible"]["enabled"] else []),
        Work("train_policy", runs, resources["train_policy"]["gpu"], runs * tokens),
        Work("evaluate_policy", runs * len(suites), gpus, runs * run, left_out),
        Work("evaluate_base", len(suites), gpus, base, left_out),
    ]
    if policies:
        work.append(Work("evaluate_external", policies * len(suites), gpus, policies * external, left_out))
    return work


def _selection(config: Config, gpus: int, length: float) -> Work:
    """Responses of the base to every training problem, of which the perfectible ones are to be found."""
    problems, samples = training_problems(config), config["precision"]["perfectible"]["samples"]
    left_out = ("the training problems",) if problems is None else ()
    return Work("select_perfectible", 1, gpus, (problems or 0) * samples * length, left_out)


def _sampled(study: Config, task: str, problems: int, response: float | None) -> float:
    config = study["evaluation"]["tasks"][task]
    return problems * config["samples"] * _length(config["max_tokens"], response)


def _evaluated(study: Config, task: str, problems: int, response: float | None) -> float:
    """Tokens of one run on one task: the policy's samples, those for its KL, and both of every snapshot."""
    evaluation, training = study["evaluation"], study["training"]
    config = evaluation["tasks"][task]
    length = _length(config["max_tokens"], response)
    kl = _compared(study, task, problems, response)
    snapshots = len(set(training["snapshot_steps"]) - {training["steps"]})
    of_snapshot = problems * min(evaluation["snapshot_samples"], config["samples"]) * length + kl
    return _sampled(study, task, problems, response) + kl + snapshots * of_snapshot


def _compared(study: Config, task: str, problems: int, response: float | None) -> float:
    """Tokens of the responses by which a policy's distance from the base is measured."""
    kl, longest = study["evaluation"]["kl"], study["evaluation"]["tasks"][task]["max_tokens"]
    return min(problems, kl["problems"]) * kl["samples"] * _length(longest, response)


def _alignment(config: Config, response: float | None) -> list[Work]:
    """Tokens that are generated or trained on, each pass over them counted; without the arms' validations."""
    study, gpus = config["alignment"], config["resources"]["train_alignment_arm"]["gpu"]
    length = _length(study["generation"]["max_tokens"], response)
    responses = {"sft": _supervised, "expert_iteration": _iterated, "grpo": _reinforced}
    work = [_zero_shot(config, length)]
    for method in METHODS:
        settings = arms(study[method]).values()
        tokens = sum(responses[method](one) for one in settings) * length * study["seeds"]
        work.append(Work(f"train_{method}_arm", len(settings), gpus, tokens))
    return work


def _zero_shot(config: Config, length: float) -> Work:
    """One response of the base to every final problem under each prompt."""
    study, gpus = config["alignment"], config["resources"]["evaluate_policy"]["gpu"]
    rows = study["validation"]["final_rows"]
    problems = source_rows(study["data"]["validation"], config["data_root"])
    if rows is not None:
        problems = rows if problems is None else min(rows, problems)
    left_out = ("the validation problems",) if problems is None else ()
    prompts = len(study["prompts"])
    return Work("evaluate_zero_shot", prompts, gpus, prompts * (problems or 0) * length, left_out)


def _supervised(settings: Config) -> int:
    return settings["steps"] * settings["batch_size"]


def _iterated(settings: Config) -> int:
    """As if all responses were correct and trained on."""
    return settings["steps"] * settings["batch_size"] * settings["rollouts"] * (1 + settings["epochs"])


def _reinforced(settings: Config) -> int:
    return settings["steps"] * settings["rollout_batch_size"] * settings["epochs_per_rollout_batch"]


def _advantage(config: Config, response: float | None) -> list[Work]:
    study, gpus = _estimators(config), config["resources"]["train_alignment_arm"]["gpu"]
    length = _length(study["generation"]["max_tokens"], response)
    steps = study["seeds"] * study["settings"]["steps"]
    jobs = len(study["estimators"])
    return [Work("train_with_estimator", jobs, gpus, jobs * steps * step_tokens(config, "advantage", length))]
