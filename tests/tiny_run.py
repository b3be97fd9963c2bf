"""A policy and a training job small enough for unit tests of some seconds."""

import csv
from dataclasses import asdict
from pathlib import Path

from rlvr.config.build import build
from rlvr.config.policy import TinyPolicyConfig
from rlvr.data.families import family_problems
from rlvr.files import read_json, write_jsonl
from rlvr.precision import PrecisionMode, resolve_mode
from rlvr.training.base import prepare_base_policy
from rlvr.training.run import TrainingFiles
from rlvr.training.trainer import TrainingJob

BASE = {
    "kind": "tiny",
    "seed": 0,
    "compute_threads": 1,
    "saved_dtype": "bfloat16",
    "tokenizer": "characters",
    "architecture": {
        "hidden_size": 32,
        "layers": 2,
        "heads": 2,
        "kv_heads": 1,
        "mlp_size": 64,
        "tied_embeddings": True,
        "init_std": 0.05,
        "max_positions": 24,
    },
    "examples": {"kind": "families", "weights": {"max": 1.0}, "right": 0.5, "wrong_rule": 0.5, "slip": 0.0},
    "sft": {
        "steps": 120,
        "batch_size": 64,
        "learning_rate": 5e-3,
        "betas": [0.9, 0.98],
        "eps": 1e-8,
        "weight_decay": 0.0,
        "warmup_steps": 10,
        "final_learning_rate_ratio": 0.1,
        "max_grad_norm": 1.0,
        "log_every_steps": 50,
    },
}

TRAINING = {
    "steps": 6,
    "prompts_per_step": 8,
    "group_size": 4,
    "minibatches": 2,
    "epochs": 1,
    "microbatch_size": 16,
    "sampling": {
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 4,
        "min_tokens": 0,
        "stop": [],
        "max_batch_rows": 64,
    },
    "rewards": {"correct": 1.0, "incorrect": -1.0},
    "advantage": {
        "estimator": "group",
        "normalize_by_std": True,
        "eps": 1e-6,
        "buffer_size": 32,
        "min_count": 16,
        "decay": 0.9,
    },
    "loss": {
        "type": "grpo_clip",
        "clip_low": 0.2,
        "clip_high": 0.28,
        "sequence_clip_low": 3e-4,
        "sequence_clip_high": 4e-4,
        "aggregation": "token_mean",
        "normalize_constant": 1.0,
        "kl_beta": 0.0,
    },
    "dynamic_sampling": {"enabled": True, "max_rounds": 1},
    "overlong": {"enabled": True, "buffer_tokens": 1, "penalty": 1.0},
    "optimizer": {
        "learning_rate": 1e-3,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.0,
        "warmup_steps": 2,
        "max_grad_norm": 1.0,
    },
    "trainer": {
        "gpus": 1,
        "microbatch_tokens": None,
        "recompute_activations": False,
        "vocabulary_chunk": None,
    },
    "rollout": {"engine": "native", "vllm": {}},
    "kl_every_steps": 1,
    "tracked_updates": 65536,
    "log_rollouts_every_steps": 3,
    "log_rollouts_count": 4,
    "snapshot_steps": [2],
    "checkpoint_every_steps": 2,
}


def make_base(folder: Path) -> Path:
    """Train the policy of `BASE` and write the training problems beside it."""
    config = build(TinyPolicyConfig, BASE)
    prepare_base_policy(config, "", "cpu", folder / "policy", folder / "metrics.csv", folder / "checkpoints")
    write_jsonl(folder / "train.jsonl", map(asdict, family_problems("max", "train")[:64]))
    return folder


def make_job(
    mode: str | PrecisionMode = "fp32", seed: int = 1, dropout_rate: float = 0.1, rep: int = 1, **training
) -> TrainingJob:
    """A job of `TRAINING`, with some of its keys replaced; `mode`: one of one's own, or a named one."""
    if isinstance(mode, str):
        mode = resolve_mode(mode, dropout_rate, {})
    return build(
        TrainingJob,
        {
            "mode": asdict(mode),
            "seed": seed,
            "rep": rep,
            "template": "plain",
            "device": "cpu",
            "compute_threads": 1,
            "verification": {"time_limit_s": 10.0, "memory_mb": 1024, "require_isolation": "any"},
            "training": TRAINING | training,
        },
    )


def make_files(base: Path, out: Path) -> TrainingFiles:
    """The run's files under `out`."""
    return TrainingFiles(
        base=str(base / "policy"),
        problems=str(base / "train.jsonl"),
        policy=str(out / "policy"),
        snapshots=str(out / "snapshots"),
        metrics=str(out / "metrics.csv"),
        rollouts=str(out / "rollouts.jsonl.gz"),
        tensorboard=str(out / "tensorboard"),
        provenance=str(out / "provenance.json"),
        checkpoints=str(out / "checkpoints"),
    )


def rows_without_times(out: Path) -> list[dict[str, str]]:
    """The run's metrics, all that do not depend on how fast it was."""
    with open(out / "metrics.csv") as file:
        return [
            {name: value for name, value in row.items() if "second" not in name}
            for row in csv.DictReader(file)
        ]


def same_run(ours: Path, theirs: Path) -> None:
    """Assert that two runs came to the same, to the bit."""
    first, second = (read_json(out / "provenance.json") for out in (ours, theirs))
    assert first["weight_hash"] == second["weight_hash"]
    assert first["dtypes"] == second["dtypes"]
    assert rows_without_times(ours) == rows_without_times(theirs)
