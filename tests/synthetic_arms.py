"""A made-up alignment study on disk: every arm of the default experiments, with plausible numbers."""

import math
from pathlib import Path

import numpy as np

from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.analysis.study import analyse_alignment_study
from rlvr.alignment.arms import METHODS, Experiment, arms, experiments
from rlvr.config.alignment import ComparisonConfig
from rlvr.config.schema import fill_defaults, read_schema
from rlvr.files import write_csv, write_json, write_jsonl

VALIDATION_COLUMNS = (
    "seed", "step", "seconds", "problems", "accuracy", "format_rate", "reward_mean", "entropy_mean",
    "length_mean", "length_mean_correct", "length_mean_wrong", "well_formed_wrong", "unformatted",
    "truncated", "final", "diverged", "reason",
)  # fmt: skip
CATEGORIES = ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
# Zero-shot accuracy and share of responses in the format, by prompt.
ZERO_SHOT = {"r1_zero": (0.42, 0.80), "question_only": (0.30, 0.65)}
# Gain in points of the default arm, by method.
GAIN = {"sft": 12.0, "expert_iteration": 15.0, "grpo": 22.0}
# What a setting adds to the gain, in points.
EFFECT = {
    ("filtered", True): 5.0, ("size", 128): -9.0, ("size", 256): -6.0, ("size", 512): -3.0,
    ("size", 1024): -1.0, ("rollouts", 8): 2.0, ("epochs", 4): 1.0, ("learning_rate", 1e-4): -9.0,
    ("loss_type", "no_baseline"): -10.0, ("steps", 10): -10.0, ("epochs_per_rollout_batch", 4): 4.0,
    ("loss_type", "grpo_no_clip"): -3.0,
}  # fmt: skip
CONFIG = ComparisonConfig(confidence=0.95, margin_points=2.0, collapse_share=0.5)
EXAMPLES, EXAMPLES_CORRECT = 2048, 1434
TOO_HIGH_RATE = 1e-3
FAILURE = {
    "kind": "well_formed_wrong", "id": "add-1", "prompt": "2+3", "response": " 6</think> <answer>6</answer>",
    "finished": True, "ground_truth": "5", "extracted": "6", "rule": "answer tags", "reason": "differs",
}  # fmt: skip


def alignment_section():
    """Section `alignment` of a config that says nothing about it."""
    return fill_defaults({}, read_schema())["alignment"]


def validation_row(seed, step, accuracy, seconds=0.0, format_rate=0.9, entropy=0.5, length=11.0, **ending):
    """A row of validation.csv; `ending`: final, diverged, reason, problems, where they differ."""
    unformatted = 1 - format_rate
    return {
        "seed": seed, "step": step, "seconds": seconds, "problems": 200, "accuracy": accuracy,
        "format_rate": format_rate, "reward_mean": accuracy, "entropy_mean": entropy, "length_mean": length,
        "length_mean_correct": length - 0.2, "length_mean_wrong": length + 0.3,
        "well_formed_wrong": max(0.0, format_rate - accuracy), "unformatted": unformatted,
        "truncated": unformatted / 2, "final": False, "diverged": False, "reason": "",
    } | ending  # fmt: skip


def generation_rows(seed, step):
    """Two generations, a right and a wrong one."""
    rows = ((" 5</think> <answer>5</answer>", 1.0, 1.0), (" 6</think> <answer>6</answer>", 1.0, 0.0))
    return [
        {
            "seed": seed, "step": step, "prompt": "2+3", "response": response, "ground_truth": "5",
            "format_reward": form, "answer_reward": answer, "reward": answer, "entropy": 0.4, "length": 11,
        }
        for response, form, answer in rows
    ]  # fmt: skip


def write_zero_shot(folder, prompt, accuracy=None, format_rate=None, problems=1000):
    """Files of the zero-shot evaluation of one prompt."""
    usual = ZERO_SHOT[prompt]
    accuracy, format_rate = accuracy or usual[0], format_rate or usual[1]
    row = validation_row(0, 0, accuracy, format_rate=format_rate, problems=problems, final=True)
    place = Path(folder) / "zero_shot" / prompt
    write_csv(place / "validation.csv", VALIDATION_COLUMNS, [row])
    shares = (accuracy, format_rate - accuracy, 1 - format_rate)
    counts = [
        {"format_reward": form, "answer_reward": answer, "count": round(problems * share), "share": share}
        for (form, answer), share in zip(CATEGORIES, shares, strict=True)
    ]
    write_csv(place / "categories.csv", list(counts[0]), counts)
    write_jsonl(place / "generations.jsonl.gz", generation_rows(0, 0))
    write_jsonl(place / "failures.jsonl", [FAILURE])


def write_arm(folder, method, arm, validation, metrics, settings=None, runs=None):
    """Files of one arm: rows of its validation and of its metrics, and the records of its seeds."""
    place = Path(folder) / method / arm
    columns = list(dict.fromkeys(column for row in metrics for column in row)) or ["seed", "step"]
    write_csv(place / "validation.csv", VALIDATION_COLUMNS, validation)
    write_csv(place / "metrics.csv", columns, metrics)
    seeds = list(dict.fromkeys(row["seed"] for row in validation))
    runs = runs or [{"seed": seed, "updates": 40, "tokens_sampled": 50_000} for seed in seeds]
    write_jsonl(place / "generations.jsonl.gz", [row for seed in seeds for row in generation_rows(seed, 0)])
    record = {"arm": arm, "method": method, "settings": settings or {}, "runs": runs, "code_digest": "0"}
    write_json(place / "provenance.json", record)


def write_small_arm(
    folder,
    method,
    arm,
    finals,
    start=0.4,
    seconds=10.0,
    grad_norms=(1.0, 1.0),
    settings=None,
    runs=None,
    **last,
):
    """An arm of two steps whose seeds end at the accuracies `finals`; `last`: of their final rows."""
    validation, metrics = [], []
    for seed, final in enumerate(finals, 1):
        validation += [
            validation_row(seed, 0, start),
            validation_row(seed, 1, (start + final) / 2, seconds / 2),
            validation_row(seed, 2, final, seconds, **({"problems": 1000, "final": True} | last)),
        ]
        metrics += [
            {"seed": seed, "step": step, "grad_norm": norm} for step, norm in enumerate(grad_norms, 1)
        ]
    write_arm(folder, method, arm, validation, metrics, settings, runs)


def gain_points(method, settings):
    """Points that an arm gains in the mean."""
    return GAIN[method] + sum(EFFECT.get(item, 0.0) for item in settings.items())


def _metrics_row(method, seed, step, settings, progress, diverging):
    row = {"seed": seed, "step": step}
    norm = (40.0 if diverging else 0.8) * (
        3.0 if settings.get("length_normalization") == "masked_normalize" else 1.0
    )
    if settings.get("use_std_normalization") is False:
        norm *= 0.4
    norm *= 1 + 0.1 * math.sin(7 * seed + step)
    entropy = 0.6 - 0.3 * progress
    if method == "sft":
        return row | {
            "loss": 1 - progress / 2,
            "learning_rate": settings["learning_rate"],
            "grad_norm": norm,
            "seconds": 0.05,
        }
    if method == "expert_iteration":
        return row | {
            "sampled": settings["batch_size"] * settings["rollouts"], "correct": settings["batch_size"],
            "updates": 8, "loss": 0.4, "grad_norm": norm,
            "entropy_mean": entropy, "length_mean": 11.0, "seconds": 1.2,
        }  # fmt: skip
    clipped = settings["loss_type"] in ("grpo_clip", "grpo_no_clip")
    off = settings["epochs_per_rollout_batch"] * settings["rollout_batch_size"] / settings["train_batch_size"]
    worst = 1 + 0.05 * (off - 1) * (2 if settings["loss_type"] == "grpo_no_clip" else 1) + 0.01 * seed
    return row | {
        "reward_mean": 0.4 + 0.2 * progress, "accuracy": 0.4 + 0.2 * progress,
        "response_length_mean": 11.0 + progress, "loss": 0.01, "entropy": entropy,
        "grad_norm": norm, "learning_rate": settings["learning_rate"],
        "clip_fraction": 0.004 * (off - 1) if settings["loss_type"] == "grpo_clip" else math.nan,
        "ratio_max": worst if clipped else math.nan,
        "updates": off, "seconds_step": 0.1 + 0.02 * off,
    }  # fmt: skip


def _write_made_up_arm(folder, method, arm, settings, seeds, rng):
    start, form = ZERO_SHOT[settings.get("prompt", "r1_zero")]
    diverging = method == "grpo" and settings["learning_rate"] > TOO_HIGH_RATE
    steps, every = settings["steps"], settings.get("validate_every_steps", 1)
    off = settings.get("epochs_per_rollout_batch", 1) * 128 / settings.get("train_batch_size", 128)
    validation, metrics, runs = [], [], []
    for seed in range(1, seeds + 1):
        gain = -start * 0.95 if diverging else (gain_points(method, settings) + rng.normal(0, 1.2)) / 100
        seconds = 0.0
        for step in range(0, steps + 1, every):
            progress = 1 - math.exp(-3 * step / steps)
            accuracy = round(start + gain * progress + rng.normal(0, 0.004), 4)
            seconds = step * (0.1 + 0.02 * off)
            row = validation_row(
                seed, step, max(0.0, accuracy), seconds, form + (0.98 - form) * progress,
                0.6 - 0.35 * progress + 0.01 * seed, 11 + progress + 0.1 * rng.normal(),
            )  # fmt: skip
            validation.append(row)
        reason = f"final accuracy {row['accuracy']:.4f} is below 0.5 of the start's" if diverging else ""
        validation[-1] = row | {"problems": 1000, "final": True, "diverged": diverging, "reason": reason}
        metrics += [
            _metrics_row(method, seed, step, settings, step / steps, diverging)
            for step in range(1, steps + 1)
        ]
        examples = settings.get("size") or (EXAMPLES_CORRECT if settings.get("filtered") else EXAMPLES)
        runs.append(
            {
                "seed": seed,
                "seconds": seconds,
                "updates": int(steps * off),
                "rollouts": steps * 128,
                "diverged": diverging,
            }
            | {
                "tokens_trained": steps * 128 * 11,
                "tokens_sampled": 0 if method == "sft" else steps * 128 * 11,
            }
            | ({"examples": {"read": EXAMPLES, "used": examples}} if method == "sft" else {})
        )
    write_arm(folder, method, arm, validation, metrics, settings, runs)


def write_synthetic_study(folder, seeds=3) -> list[Experiment]:
    """Write zero-shot results and all arms of the default experiments under `folder` (.../alignment).

    The GRPO arm with the highest learning rate has diverged in every seed. Returns the experiments.
    """
    section, rng = alignment_section(), np.random.default_rng(0)
    for prompt in ZERO_SHOT:
        write_zero_shot(folder, prompt)
    for method in METHODS:
        for arm, settings in arms(section[method]).items():
            _write_made_up_arm(folder, method, arm, settings, seeds, rng)
    return [one for method in METHODS for one in experiments(method, section[method])]


def analyse(folder, given, seeds=3, config=CONFIG):
    """Analyse the study under `folder`; its files lie in `folder`/analysis, and are returned."""
    labels = list(dict.fromkeys((one.method, arm) for one in given for arm in one.arms))
    tables = {
        f"{kind}_files": [Path(folder) / method / arm / name for method, arm in labels]
        for kind, name in (
            ("validation", "validation.csv"),
            ("metrics", "metrics.csv"),
            ("provenance", "provenance.json"),
        )
    }
    files = AlignmentAnalysisFiles.in_folder(Path(folder) / "analysis")
    starts = [Path(folder) / "zero_shot" / prompt / "validation.csv" for prompt in ZERO_SHOT]
    analyse_alignment_study(
        config, given, labels, **tables, prompts=list(ZERO_SHOT), zero_shot_files=starts,
        prompt="r1_zero", seeds=seeds, files=files,
    )  # fmt: skip
    return files
