"""What will not work, or will do nothing, in a planned study: each a sentence that names the key."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlvr.plan.evaluation import DrawingJob
from rlvr.plan.fitting import USABLE_SHARE
from rlvr.plan.memory import (
    ACTIVATIONS,
    COPY,
    ENGINE,
    LOGITS,
    PHASES,
    SAMPLING,
    TrainingLoad,
    training_memory,
)
from rlvr.plan.parts import JobMemory
from rlvr.plan.problems import training_problems
from rlvr.plan.study import StudyToPlan
from rlvr.precision import MODES, PrecisionMode

Config = Mapping[str, Any]
# Weights of a pretrained model about follow N(0, 0.02²), its initialisation.
TYPICAL_STD = 0.02
FEW_MOVABLE = 0.1
# As many of a phase's parts are named where it does not fit.
NAMED_PARTS = 4
TRAINER, SHORTER = "precision.training.trainer", "shorter max_tokens or prompts (--prompt-tokens)"
# Bits of a significand, the hidden one included, and the exponent of the smallest normal number.
_SIGNIFICANDS = {"float32": (24, -126), "bfloat16": (8, -126), "float16": (11, -14)}
# Where a sentence about several jobs names them.
OF = "{of}"
# Parameters from which training on a CPU is hopeless: a step of a billion takes about an hour.
MANY_PARAMETERS = 10**9


def normal_movable_fraction(lr: float, dtype: str, std: float = TYPICAL_STD) -> float:
    """`rlvr.diagnostics.sparsity.movable_fraction` of many weights from N(0, std²).

    A weight between 2ᵉ and 2ᵉ⁺¹ moves if lr exceeds half of the distance to its neighbours, 2ᵉ⁻ᵖ with p bits
    of significand.
    """
    bits, smallest = _SIGNIFICANDS[dtype]
    if lr <= 0:
        return 0.0
    exponent = math.ceil(math.log2(lr) + bits) - 1  # the largest e with 2ᵉ⁻ᵖ below lr
    return math.erf(2.0 ** (exponent + 1) / std / math.sqrt(2)) if exponent >= smallest else 0.0


def find_warnings(
    config: Config, study: StudyToPlan, movable: Mapping[str, float], measured: bool
) -> list[str]:
    """All of them. `movable`: share of each mode's weights that a step can move, measured or estimated."""
    return [
        *_few_movable(study, movable, measured),
        *_no_dropout(config, study),
        *_positions(config, study),
        *_never_tracked(config, study.name),
        *_vllm(config, study.name),
        *_on_cpu(config, study),
    ]


def too_large(
    study: StudyToPlan, mode: PrecisionMode, rows: int, drawn: int, gpu_bytes: float
) -> Iterator[str]:
    """What of a training job does not fit on the GPUs that share it, and what makes it smaller.

    `rows` and `drawn`: those that fit, see `rlvr.plan.fitting.largest_rows`.
    """
    if study.device == "cpu":
        return
    gpus, load, sizes = study.processes, study.load, study.policy.sizes
    place = f"on {gpus} GPU{'s' if gpus > 1 else ''}"
    if not rows:
        least = training_memory(sizes, mode, replace(load, rows=1))
        phase = max(PHASES[1:], key=lambda phase: least.in_phase(phase, gpus))
        yield (
            f"{mode.name}: not even one row of {load.positions:,} tokens can be trained {place}: "
            f"{_largest(least, phase, gpus, gpu_bytes)}. {_remedy(study, mode, least, phase)}"
        )
    elif rows < load.rows:
        now, fitting, unit = load.rows, rows, "rows"
        if load.microbatch_tokens is not None:
            now, fitting, unit = load.tokens, replace(load, rows=rows).tokens, "tokens"
        yield f"{mode.name}: microbatches of {now} {unit} do not fit {place}; allowed: at most {fitting}"
    if not drawn:
        least = training_memory(sizes, mode, replace(load, drawn_rows=1))
        yield (
            f"{mode.name}: not even one row can be drawn {place}: "
            f"{_largest(least, SAMPLING, gpus, gpu_bytes)}. {_remedy(study, mode, least, SAMPLING)}"
        )
    elif drawn < load.drawn_rows:
        yield (
            f"{mode.name}: {load.drawn_rows} rows drawn together do not fit {place}; allowed: max_batch_rows "
            f"of {drawn}"
        )


def draws_too_much(jobs: Sequence[DrawingJob], gpu_bytes: float) -> list[str]:
    """Of the jobs that draw and do not train, what does not fit on the one GPU that each computes on."""
    found: dict[str, list[str]] = {}  # the jobs of which the same is to be said
    for job in jobs:
        if job.sampling.device == "cuda":
            for text in _draws_too_much(job, gpu_bytes):
                found.setdefault(text, []).append(job.whose)
    return [text.replace(OF, f"of {', '.join(whose)}", 1) for text, whose in found.items()]


def _draws_too_much(job: DrawingJob, gpu_bytes: float) -> Iterator[str]:
    """One sentence for what holds at any number of rows, one for the rows."""
    rows = job.largest_rows(gpu_bytes)
    least = job.of_rows(1).memory()
    if least.peak() > USABLE_SHARE * gpu_bytes:
        yield (
            f"{job.rule} {OF} does not fit on its one GPU, however few rows are drawn together: "
            f"{_largest(least, least.peak_phase(), 1, gpu_bytes)}. More GPUs do not help, larger ones do "
            "(--gpu-memory-gb)"
        )
    if 0 < rows < job.sampling.rows:
        yield (
            f"{job.rule} {OF}: {job.sampling.rows} rows drawn together do not fit on its one GPU; allowed: "
            f"{job.rows_key} of {rows}"
        )


def _largest(memory: JobMemory, phase: str, gpus: int, gpu_bytes: float) -> str:
    """How much a phase needs, and its largest parts."""
    parts = memory.largest_parts(phase, gpus, NAMED_PARTS)
    named = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in parts)
    return (
        f"{memory.in_phase(phase, gpus) / 1e9:.1f} GB of {USABLE_SHARE * gpu_bytes / 1e9:.1f} in phase "
        f"{phase} (largest: {named})"
    )


def _remedy(study: StudyToPlan, mode: PrecisionMode, memory: JobMemory, phase: str) -> str:
    """The keys that make the phase's largest parts smaller, in the order of these parts."""
    has_trainer = study.name == "precision"
    divided = f"more GPUs by {TRAINER}.gpus" if has_trainer else ""
    smaller = (
        _smaller_passes(study.load, mode) if has_trainer else dict.fromkeys((ACTIVATIONS, LOGITS), SHORTER)
    )
    if mode.rollout == "float32":
        smaller[ENGINE] = "a mode that rolls out in 16 bit (every GPU has a whole engine)"
    named = [name for name, _ in memory.largest_parts(phase, study.processes, NAMED_PARTS)]
    keys = [divided if memory.is_divided(name) else smaller.get(name, "") for name in named]
    keys.append("larger GPUs (--gpu-memory-gb), or a mode with smaller dtypes")
    return f"What helps: {'; '.join(dict.fromkeys(key for key in keys if key))}"


def _smaller_passes(load: TrainingLoad, mode: PrecisionMode) -> dict[str, str]:
    """Keys of the trainer by the part of a pass that they make smaller."""
    recompute = f"{TRAINER}.recompute_activations"
    if mode.dropout.rate:
        recompute += " (dropout keeps probabilities of every pair of positions)"
    chunk = f"{TRAINER}.vocabulary_chunk"
    if load.vocabulary_chunk is not None:
        chunk += f" below {load.vocabulary_chunk}"
    if load.recompute_activations:
        return {ACTIVATIONS: SHORTER, LOGITS: chunk}
    return {ACTIVATIONS: recompute, COPY: recompute, LOGITS: chunk}


def _few_movable(study: StudyToPlan, movable: Mapping[str, float], measured: bool) -> Iterator[str]:
    origin = "measured" if measured else f"estimated from weights of N(0, {TYPICAL_STD:g}²)"
    for mode in study.modes:
        if movable[mode.name] < FEW_MOVABLE and mode.write_back == "nearest":
            yield (
                f"{mode.name}: a step of the learning rate {study.learning_rate:g} can move only "
                f"{100 * movable[mode.name]:.1f} % of the {mode.master} weights ({origin}); most updates are "
                "rounded away. That may be what you study; else take fp32 masters, bf16_sr or bf16_kahan"
            )


def _no_dropout(config: Config, study: StudyToPlan) -> Iterator[str]:
    rate = config["precision"]["dropout_rate"]
    for mode in study.modes:
        named = MODES.get(mode.name)
        if named and named.dropout.rate and not rate:
            yield (
                f"{mode.name}: precision.dropout_rate is 0, so that its dropout does nothing and it differs "
                "from the other modes in its dtypes and determinism alone"
            )


def _positions(config: Config, study: StudyToPlan) -> Iterator[str]:
    longest, load = study.policy.sizes.max_positions, study.load
    key = {"precision": "precision.training.sampling", "alignment": "alignment.generation"}.get(
        study.name, "advantage.grpo.generation"
    )
    yield from _too_long(f"{key}.max_tokens", load.prompt, load.response, longest)
    if study.name == "precision":
        tasks = config["precision"]["evaluation"]["tasks"]
        for task in (
            task for suite in config["precision"]["evaluation"]["suites"].values() for task in suite
        ):
            key = f"precision.evaluation.tasks.{task}.max_tokens"
            yield from _too_long(key, min(load.prompt, longest), tasks[task]["max_tokens"], longest)


def _too_long(key: str, prompt: int, response: int, positions: int) -> Iterator[str]:
    if max(prompt, 1) + response > positions:
        yield (
            f"{key}: a prompt of {max(prompt, 1)} tokens and a response of {response} are more than the "
            f"model's {positions} positions; allowed: at most {max(positions - max(prompt, 1), 0)}"
        )


def _vllm(config: Config, study: str) -> Iterator[str]:
    rollout = config["precision"]["training"]["rollout"]
    if study == "precision" and rollout["engine"] == "vllm":
        share = rollout["vllm"]["gpu_memory_utilization"]
        yield (
            "precision.training.rollout.engine is vllm: the memory planned for rollouts is that of engine "
            f"native. vLLM takes {100 * share:.0f} % of each of its GPUs (gpu_memory_utilization), which the "
            "training must leave free, unless rollout.vllm.sleep is true"
        )


def _never_tracked(config: Config, study: str) -> Iterator[str]:
    """Per-prompt estimators of which no prompt collects enough rewards."""
    if study == "precision":
        training = config["precision"]["training"]
        key, settings = "precision.training.advantage", training["advantage"]
        estimators = [settings["estimator"]]
        responses = training["steps"] * training["prompts_per_step"] * training["group_size"]
    elif study == "advantage":
        grpo = config["advantage"]["grpo"]
        key, settings, estimators = "advantage.grpo.settings", grpo["settings"], grpo["estimators"]
        responses = settings["steps"] * settings["prompts_per_step"] * settings["group_size"]
    else:
        return
    if not any(name.startswith("per_prompt") for name in estimators):
        return
    problems = training_problems(config) if study == "precision" else grpo["data"]["questions"]
    if problems is not None and responses / problems < settings["min_count"]:
        yield (
            f"{key}.min_count: a prompt gets {responses / problems:.1f} rewards on average in the whole run "
            f"({problems} prompts), fewer than {settings['min_count']}: most prompts are never normalised by "
            "their own statistics. Lower it, train longer, or on fewer prompts"
        )


def _on_cpu(config: Config, study: StudyToPlan) -> Iterator[str]:
    if study.device != "cpu":
        return
    if study.policy.parameters >= MANY_PARAMETERS:
        yield (
            f"device: cpu, for a policy of {study.policy.parameters:,} parameters; set device to cuda or auto"
        )
    repeats = config["precision"]["repeats"]
    if study.name == "precision" and repeats > 1 and not any(map(_is_noisy, study.modes)):
        yield (
            f"precision.repeats is {repeats}, but on a CPU a repeat of a seed is identical in these modes: "
            "no kernel is non-deterministic there, and none of them adds a noise of its own"
        )


def _is_noisy(mode: PrecisionMode) -> bool:
    return bool(mode.gradient_noise or mode.shuffle_reduction)
