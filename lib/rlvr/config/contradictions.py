"""Checks between the keys of a config whose every key is sound by itself.

Each check yields lines `key.path: what is wrong; allowed: ...`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlvr.config.advantage_checks import find_advantage_contradictions
from rlvr.config.alignment_checks import find_alignment_contradictions
from rlvr.config.estimator_checks import find_estimator_contradictions, find_lone_responses
from rlvr.config.schema import hint, line
from rlvr.hub import COMMIT, HUB_ID
from rlvr.precision import MODES, faults_of

Section = Mapping[str, Any]


def find_contradictions(config: Section) -> Iterator[str]:
    """Every contradiction in a config that fits the schema, a line each."""
    yield from _check_base("base", config["base"])
    yield from _check_holdout(config["data"])
    yield from _check_programs(config)
    yield from _check_modes(config["precision"])
    yield from _check_gpus(config)
    yield from _check_engines(config)
    yield from _check_perfectible(config["precision"]["perfectible"])
    yield from _check_training(config["precision"]["training"])
    yield from _check_evaluation(config["precision"]["evaluation"], config["data"]["evaluation"])
    yield from _check_positions(config["base"], config["precision"])
    yield from _check_arms(config["precision"])
    yield from _check_external_policies(config["precision"])
    yield from _check_base("alignment.base", config["alignment"]["base"])
    yield from find_alignment_contradictions(config["alignment"], config["precision"]["custom_modes"])
    yield from _check_base("advantage.grpo.base", config["advantage"]["grpo"]["base"])
    yield from find_advantage_contradictions(config["advantage"], config["precision"]["custom_modes"])
    yield from _check_repair(config["repair"])


def _check_base(key: str, base: Section) -> Iterator[str]:
    if base["kind"] == "pretrained":
        yield from _check_pinned(f"{key}.revision", base["path"], base["revision"], "path")
        return
    shape = base["architecture"]
    width, heads = shape["hidden_size"], shape["heads"]
    if width % (2 * heads):
        wrong = f"{heads} heads share hidden_size {width}, which gives them no even whole width"
        yield line(f"{key}.architecture.heads", wrong, "numbers for which hidden_size / heads is even")
    if heads % shape["kv_heads"]:
        yield line(f"{key}.architecture.kv_heads", "does not divide heads", f"divisors of {heads}")
    examples = base["examples"]
    total = sum(examples.get(key, 0.0) for key in ("right", "wrong_rule", "slip"))
    if examples["kind"] != "jsonl" and abs(total - 1) > 1e-9:
        yield line(f"{key}.examples", f"right, wrong_rule and slip sum to {total:g}", "a sum of 1")


def _check_pinned(key: str, policy: str, revision: str, named: str) -> Iterator[str]:
    """A hub id is two words with a slash that name no local folder; `named`: the key that has it."""
    if HUB_ID.fullmatch(policy) and not Path(policy).exists() and not COMMIT.fullmatch(revision):
        wrong = f"{revision} is no commit" if revision else "missing"
        allowed = (
            "a commit of 40 hexadecimal digits (the newest one is printed by `git ls-remote "
            f"https://huggingface.co/{policy} HEAD`), or a {named} that is an existing folder"
        )
        yield line(key, f"{wrong} for the hub id {policy}", allowed)


def _check_holdout(data: Section) -> Iterator[str]:
    holdout = data["train"]["holdout"]
    tasks = [task for task, section in data["evaluation"].items() if section["source"]["kind"] == "holdout"]
    if any(source["kind"] == "holdout" for source in data["train"]["sources"]):
        yield line("data.train.sources", "a holdout cannot be trained on", "kinds synthetic, jsonl, hub")
    for task in tasks:
        key = f"data.evaluation.{task}.source"
        if holdout is None:
            wrong = "is a holdout, but data.train.holdout is not set"
            yield line(key, wrong, f"data.train.holdout: {{task: {task}, rows: ...}}")
        elif holdout["task"] != task:
            wrong = f"is a holdout, but data.train.holdout.task is {holdout['task']}"
            yield line(key, wrong, "the holdout under that one name")
    if holdout is not None and holdout["task"] not in tasks:
        wrong = f"{holdout['task']} is no evaluation task with source {{kind: holdout}}"
        allowed = ", ".join(tasks) or "first give data.evaluation such a task"
        yield line("data.train.holdout.task", wrong, allowed)


def _check_programs(config: Section) -> Iterator[str]:
    """Verifier code runs prompt + response against tests: bare programs, whose tests a jsonl source names."""
    data, tasks = config["data"], config["precision"]["evaluation"]["tasks"]
    sections = {"data.train": data["train"]} | {
        f"data.evaluation.{t}": s for t, s in data["evaluation"].items()
    }
    programs = {key: section for key, section in sections.items() if section["verifier"] == "code"}
    for key, section in programs.items():
        if section["template"] != "plain":
            wrong = f"{section['template']} puts words around a program that verifier code runs"
            yield line(f"{key}.template", wrong, "plain")
        if any(source["kind"] == "synthetic" for source in section.get("sources", [section.get("source")])):
            yield line(
                key,
                "verifier code needs tests",
                "a jsonl source with tests_field and entry_point_field, or a hub source of schema humaneval",
            )
    for name, task in tasks.items():
        verifier = data["evaluation"].get(name, {}).get("verifier")
        if verifier == "code" and task["stop"] and task["keep_stop"]:
            key = f"precision.evaluation.tasks.{name}.keep_stop"
            yield line(key, "true would leave the stop string in the program", "false")


def _check_gpus(config: Section) -> Iterator[str]:
    """A job has as many GPUs as it is to share the training among; `device: auto` shows when it runs.

    A job that asks for none runs outside of a scheduler on the GPUs that it finds, and shares nothing.
    """
    study = config["precision"]
    wanted, given = study["training"]["trainer"]["gpus"], config["resources"]["train_policy"]["gpu"]
    if config["device"] == "cuda" and wanted > max(given, 1):
        wrong = f"{wanted}, but the job asks for {given} (resources.train_policy.gpu)"
        yield line("precision.training.trainer.gpus", wrong, f"at most {given}, or raise the other one")
    for name, factors in study["custom_modes"].items():
        if wanted > 1 and name in study["modes"] and factors["reduce"] != factors["master"]:
            wrong = f"{factors['reduce']}, but on several GPUs gradients have the dtype of the stored weights"
            allowed = f"{factors['master']}, or precision.training.trainer.gpus: 1"
            yield line(f"precision.custom_modes.{name}.reduce", wrong, allowed)


def _check_engines(config: Section) -> Iterator[str]:
    """vLLM serves a training of one process, and shares a model among the GPUs of the job."""
    study, resources = config["precision"], config["resources"]
    jobs = {"training": "train_policy", "evaluation": "evaluate_policy"}
    for part, job in jobs.items():
        key, section = f"precision.{part}.rollout", study[part]["rollout"]
        if section["engine"] != "vllm":
            continue
        wanted, given = section["vllm"]["tensor_parallel"], resources[job]["gpu"]
        if config["device"] == "cuda" and wanted > max(given, 1):
            wrong = f"{wanted}, but the job asks for {given} GPUs (resources.{job}.gpu)"
            yield line(
                f"{key}.vllm.tensor_parallel", wrong, f"at most {max(given, 1)}, or raise the other one"
            )
        if part == "training" and study["training"]["trainer"]["gpus"] > 1:
            wrong = "vllm, but the training is shared among GPUs (precision.training.trainer.gpus)"
            yield line(f"{key}.engine", wrong, "native, or trainer.gpus 1 and rollout.vllm.tensor_parallel")


def _check_modes(study: Section) -> Iterator[str]:
    """Modes exist, their factors go together, and the training settings are such that they can act."""
    custom, training = study["custom_modes"], study["training"]
    for name, factors in custom.items():
        key = f"precision.custom_modes.{name}"
        if name in MODES:
            yield line(key, "is the name of a named mode", "a name of its own")
        if name == "base":
            yield line(key, "base is the policy that runs start from", "any other name")
        for factor, wrong, allowed in faults_of(factors):
            yield line(f"{key}.{factor}", wrong, allowed)
        yield from _check_importance(key, factors, training)
    known = [*MODES, *custom]
    for number, name in enumerate(study["modes"]):
        if name not in known:
            wrong = f"{name} is unknown{hint(name, known)}"
            yield line(f"precision.modes.{number}", wrong, f"{', '.join(known)} (or one of custom_modes)")


def _check_importance(key: str, factors: Section, training: Section) -> Iterator[str]:
    sampling, loss = training["sampling"], training["loss"]["type"]
    if factors["importance_cap"] is not None and (sampling["temperature"] != 1 or sampling["top_p"] != 1):
        wrong = "engine and trainer then differ in the distribution itself, not only in its arithmetic"
        allowed = "null, or precision.training.sampling with temperature 1 and top_p 1"
        yield line(f"{key}.importance_cap", wrong, allowed)
    if factors["policy_ratio"] == "sequence" and loss != "grpo_clip":
        yield line(f"{key}.policy_ratio", f"loss type {loss} clips no ratio", "token, or loss type grpo_clip")


def _check_perfectible(perfectible: Section) -> Iterator[str]:
    lowest, highest, samples = (perfectible[key] for key in ("lowest", "highest", "samples"))
    if not lowest < highest:
        wrong = f"{lowest:g} is not below highest, {highest:g}"
        yield line("precision.perfectible.lowest", wrong, "two increasing shares")
    elif not any(lowest <= right / samples <= highest for right in range(samples + 1)):
        wrong = f"no share of {samples} samples lies within {lowest:g} and {highest:g}"
        allowed = f"bounds with a multiple of 1/{samples} between them, or more samples"
        yield line("precision.perfectible", wrong, allowed)


def _check_training(training: Section) -> Iterator[str]:
    prefix, sampling = "precision.training", training["sampling"]
    prompts = training["prompts_per_step"]
    at_most = f"at most {sampling['max_tokens']}"
    if training["minibatches"] > prompts:  # a minibatch holds whole groups
        yield line(f"{prefix}.minibatches", "more than prompts in a step", f"at most {prompts}")
    if sampling["min_tokens"] > sampling["max_tokens"]:
        yield line(f"{prefix}.sampling.min_tokens", "above max_tokens", at_most)
    if training["overlong"]["buffer_tokens"] > sampling["max_tokens"]:
        yield line(f"{prefix}.overlong.buffer_tokens", "longer than a response", at_most)
    yield from _check_advantage(f"{prefix}.advantage", training)
    for step in training["snapshot_steps"]:
        if step > training["steps"]:
            wrong = f"{step} is after the last step"
            yield line(f"{prefix}.snapshot_steps", wrong, f"1 to {training['steps']}")


def _check_positions(base: Section, study: Section) -> Iterator[str]:
    """Responses need room beside a prompt; the positions of a pretrained model stand in its own files."""
    if base["kind"] == "pretrained":
        return
    most = base["architecture"]["max_positions"] - 1
    longest = {"training.sampling": study["training"]["sampling"]["max_tokens"]}
    tasks = study["evaluation"]["tasks"]
    longest |= {f"evaluation.tasks.{name}": task["max_tokens"] for name, task in tasks.items()}
    for key, tokens in longest.items():
        if tokens > most:
            wrong = f"{tokens} leaves no room for a prompt in the policy's {most + 1} positions"
            allowed = f"at most {most}, or more base.architecture.max_positions"
            yield line(f"precision.{key}.max_tokens", wrong, allowed)


def _check_advantage(key: str, training: Section) -> Iterator[str]:
    section = training["advantage"]
    yield from find_estimator_contradictions(key, section, "estimator", "normalize_by_std")
    yield from find_lone_responses(
        "precision.training", training["group_size"], section["estimator"], training["loss"]["type"]
    )
    if training["loss"]["type"] == "no_baseline" and section["estimator"] not in ("group", "none"):
        wrong = f"{section['estimator']}, but loss type no_baseline trains on the rewards themselves"
        yield line(f"{key}.estimator", wrong, "group, none, or another loss type")


def _check_evaluation(evaluation: Section, data_tasks: Section) -> Iterator[str]:
    prefix, tasks = "precision.evaluation", evaluation["tasks"]
    for task, section in tasks.items():
        key = f"{prefix}.tasks.{task}"
        if task not in data_tasks:
            yield line(key, "has no data", f"{', '.join(data_tasks)} (the tasks of data.evaluation)")
        for k in section["pass_at"]:
            if k > section["samples"]:
                yield line(f"{key}.pass_at", f"{k} exceeds samples", f"at most {section['samples']}")
    used = Counter(task for suite in evaluation["suites"].values() for task in suite)
    for suite, members in evaluation["suites"].items():
        for task in members:
            if task not in tasks:
                allowed = f"{', '.join(tasks)} (the tasks of {prefix}.tasks)"
                yield line(f"{prefix}.suites.{suite}", f"{task} is no task", allowed)
    for task, count in used.items():
        if count > 1:
            yield line(f"{prefix}.suites", f"{task} stands in {count} suites", "each task in one suite")
    if evaluation["on_task"] not in used:
        allowed = f"{', '.join(used)} (the tasks in {prefix}.suites)"
        yield line(f"{prefix}.on_task", f"{evaluation['on_task']} is in no suite", allowed)


def _check_arms(study: Section) -> Iterator[str]:
    arms = dict.fromkeys([*study["modes"], *(policy["arm"] for policy in study["external_policies"])])
    reference = study["analysis"]["reference"]
    if reference not in arms:
        wrong = f"{reference} is no arm of the study"
        yield line("precision.analysis.reference", wrong, ", ".join(arms))


def _check_external_policies(study: Section) -> Iterator[str]:
    runs = {(mode, seed) for mode in study["modes"] for seed in range(1, study["seeds"] + 1)}
    names = set()
    for number, policy in enumerate(study["external_policies"]):
        key = f"precision.external_policies.{number}"
        run = policy["arm"], policy["seed"]
        yield from _check_pinned(f"{key}.revision", policy["path"], policy["revision"], "path")
        if policy["name"] in names:
            yield line(f"{key}.name", f"{policy['name']} is taken", "a name of its own")
        if policy["arm"] == "base":
            yield line(f"{key}.arm", "base is the policy that runs start from", "any other name")
        if run in runs:
            wrong = f"{policy['arm']} has a seed {policy['seed']} already"
            yield line(f"{key}.seed", wrong, "one that is free")
        names.add(policy["name"])
        runs.add(run)


def _check_repair(repair: Section) -> Iterator[str]:
    solver, model = repair["solver"], repair["model"]
    if solver == "mutations" and model:
        yield line("repair.model", f"{model} is not asked by solver mutations", '"", or another solver')
    if solver != "mutations" and not model:
        yield line("repair.model", f"missing for solver {solver}", "a policy's folder or a model's name")
    if solver == "engine":
        yield from _check_pinned("repair.revision", model, repair["revision"], "model")
    low, high = repair["target"]
    if not low < high:
        yield line("repair.target", f"{low:g} is not below {high:g}", "two increasing rates")
