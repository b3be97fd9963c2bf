"""A made-up precision study on disk, with numbers like those of the embedded default."""

import json
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from rlvr.analysis.files import AnalysisFiles
from rlvr.config.precision import AnalysisConfig, EqualProgressConfig
from rlvr.diagnostics.compare import OverlapRow, RunFolder, what_differs, write_overlap
from rlvr.diagnostics.geometry import Checkpoint, TensorGeometry, write_geometry
from rlvr.diagnostics.spectral import AgainstNull, SpectralShift
from rlvr.evaluation.records import KlResult, RunLabel, Snapshot, SuiteResult, TaskResult, WeightChange
from rlvr.precision import resolve_mode

TASKS = ("add", "sub", "max", "rev", "sort", "rot")
BASE = (0.718, 0.676, 0.452, 0.560, 0.685, 0.589)
# Mean and sd over seeds of ΔJ in points, and of KL in nats, by arm and task.
DELTA = {
    "fp32": ((14.5, 13.1, 1.7, 0.0, -3.0, 0.6), (1.1, 0.5, 0.8, 1.2, 2.2, 0.7)),
    "bf16": ((5.6, 14.3, -0.2, -1.0, -0.7, -0.4), (0.2, 0.7, 0.4, 0.3, 0.7, 0.3)),
    "bf16_mixed": ((15.2, 11.4, 2.1, 0.5, -4.1, 0.3), (0.8, 1.3, 0.4, 1.8, 1.5, 0.2)),
}
KL = {
    "fp32": ((0.279, 0.356, 0.047, 0.117, 0.104, 0.105), (0.013, 0.037, 0.004, 0.012, 0.016, 0.008)),
    "bf16": ((0.099, 0.111, 0.005, 0.020, 0.023, 0.017), (0.004, 0.010, 0.001, 0.003, 0.002, 0.002)),
    "bf16_mixed": ((0.275, 0.339, 0.048, 0.132, 0.118, 0.106), (0.023, 0.035, 0.003, 0.024, 0.018, 0.009)),
}
SPARSITY = {"fp32": 0.066, "bf16": 0.741, "bf16_mixed": 0.066}
METRICS = (
    "step", "reward_mean", "reward_std", "accuracy", "response_length_mean", "response_length_max",
    "finished_share", "groups_kept", "groups_dropped", "resampling_rounds", "prompts_short", "rollouts",
    "loss", "entropy", "kl_base_k1", "kl_base_k3", "clip_fraction", "ratio_max", "grad_norm", "learning_rate",
    "logprob_mismatch_mean", "logprob_mismatch_max", "update_to_weight", "weights_changed_bf16",
    "updates_lost", "lost_update", "second_moments_stuck", "updates", "updates_skipped", "loss_scale",
    "importance_weight_mean", "advantage_tracked",
    "seconds_rollout", "seconds_verify", "seconds_log_probs", "seconds_update",
    "seconds_step", "tokens", "tokens_per_second", "rollouts_per_second",
)  # fmt: skip
# Columns that a step without anything to train on leaves empty.
WITHOUT_UPDATE = (
    "loss", "grad_norm", "clip_fraction", "ratio_max", "entropy", "kl_base_k1", "kl_base_k3",
    "logprob_mismatch_mean", "logprob_mismatch_max", "importance_weight_mean", "loss_scale",
    "advantage_tracked",
)  # fmt: skip
CONFIG = AnalysisConfig(
    reference="fp32", alpha=0.05, confidence=0.95, equivalence_margin_points=2.0, h2_smallest_ratio=2.0,
    kl_equivalence_ratio=1.25, equal_progress=EqualProgressConfig("kl", 1.5, 2.0),
)  # fmt: skip


@dataclass(frozen=True)
class StudyOnDisk:
    """Paths of the made-up study."""

    folder: Path
    base_files: tuple[Path, ...]
    run_files: tuple[Path, ...]
    metrics_files: tuple[Path, ...]
    provenance_files: tuple[Path, ...]
    labels: tuple[tuple[str, int, int], ...]
    manifest: Path
    geometry_files: tuple[Path, ...]
    overlap_file: Path

    @property
    def analysis(self) -> AnalysisFiles:
        return AnalysisFiles.in_folder(self.folder / "analysis")


def task_result(task, accuracy, samples=16, spread=0.001, rng=None):
    """A task's result whose two halves scatter about `accuracy` by `spread`."""
    shift = 0.0 if rng is None else rng.normal(0, spread)
    return TaskResult(
        task, 512, samples, accuracy, 0.015, 0.004, (accuracy + shift, accuracy - shift),
        {"1": accuracy, "16": min(1.0, accuracy + 0.1)}, {"1": 0.015, "16": 0.01}, 1.0, 0.99, 3.2,
        {"carry": accuracy**2, "no_carry": accuracy} if task == "add" else {},
    )  # fmt: skip


def kl_result(task, kl):
    return KlResult(task, 256, 2, kl, kl / 20, kl * 1.01, kl / 18, kl * 0.99, kl / 19, 3.2)


def write_base(folder, tasks=TASKS, accuracies=BASE, without_error=()):
    """The base's suite; its accuracy has no sampling error on the tasks `without_error`."""
    path = folder / "eval" / "base" / "families.json"
    results = (task_result(task, score, samples=64) for task, score in zip(tasks, accuracies, strict=True))
    results = tuple(
        replace(found, samples=1, accuracy_se_sampling=None, accuracy_halves=None)
        if found.task in without_error
        else found
        for found in results
    )
    SuiteResult(RunLabel("base", 0, 0), "families", "base", results, (), None, {}).write(path)
    return path


def snapshot(step, task, accuracy, kl, samples=4):
    """A task's checkpoint at `step`; its halves are alike."""
    scored = replace(task_result(task, accuracy, samples), pass_at={"1": accuracy}, pass_at_se={"1": 0.015})
    return Snapshot(step, scored, kl_result(task, kl))


def drift_of(deltas, kls, tasks=TASKS, base=BASE, shares=((60, 0.5), (120, 1.0))):
    """Checkpoints at which a share of the final ΔJ (points) and KL per task is reached, as (step, share)."""
    return tuple(
        snapshot(step, task, score + share * delta / 100, share * kl)
        for step, share in shares
        for task, score, delta, kl in zip(tasks, base, deltas, kls, strict=True)
    )


def write_run(folder, label, deltas, kls, tasks=TASKS, base=BASE, weight_hash=None, rng=None, drift=None):
    """One run's suite: ΔJ in points and KL per task; `drift`: its checkpoints, else those of `drift_of`."""
    arm, seed, rep = label
    path = folder / "eval" / arm / f"seed{seed}" / f"rep{rep}" / "families.json"
    results = tuple(
        task_result(task, score + delta / 100, rng=rng)
        for task, score, delta in zip(tasks, base, deltas, strict=True)
    )
    kl = tuple(kl_result(task, value) for task, value in zip(tasks, kls, strict=True))
    change = WeightChange(SPARSITY.get(arm, 0.5) + seed / 1000, 1e-3, 186_944, 0.02)
    name = weight_hash or f"{arm}-{seed}-{rep}"
    if drift is None:
        drift = drift_of(deltas, kls, tasks, base)
    suite = SuiteResult(RunLabel(*label), "families", name, results, kl, change, {"samples": 1.0}, drift)
    suite.write(path)
    return path


def write_metrics(path, label, rng, steps=120):
    """A run's metrics.csv with learning curves of the right shape; one step has nothing to train on."""
    gain = DELTA[label[0]][0][0] / 100
    lines = [",".join(METRICS)]
    for step in range(1, steps + 1):
        progress = 1 - np.exp(-step / 50)
        row = dict.fromkeys(METRICS, 0.5) | {
            "step": step,
            "updates": 2,
            "updates_skipped": 0,
            "accuracy": 0.70 + gain * progress + rng.normal(0, 0.02),
            "entropy": 1.1 - 0.4 * progress + rng.normal(0, 0.02),
            "kl_base_k1": KL[label[0]][0][0] * progress * (1 + rng.normal(0, 0.05)),
            "kl_base_k3": KL[label[0]][0][0] * progress * (1 + rng.normal(0, 0.03)),
        }
        row["reward_mean"] = 2 * row["accuracy"] - 1
        if step == 60:
            row |= {"updates": 0} | dict.fromkeys(WITHOUT_UPDATE, "")
        lines.append(",".join(str(row[name]) for name in METRICS))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_made_up_geometry(path, labels, rng):
    """Two layers with two matrices and a norm each, after 60 and 120 steps."""
    null = AgainstNull(0.002, 0.004, 0.0005)
    shift = SpectralShift(*[null] * len(fields(SpectralShift)))
    rows = []
    for arm, seed, rep in labels:
        for step in (60, 120):
            for layer in (0, 1):
                for kind, weights in (("q", 4096), ("up", 11_264), ("norm", 64)):
                    sparsity = SPARSITY.get(arm, 0.5) + rng.uniform(0, 0.05)
                    rows.append(
                        TensorGeometry(
                            Checkpoint(arm, seed, rep, step, "gone"), f"layers.{layer}.{kind}", layer, kind,
                            weights, sparsity, 1 - sparsity, 0.28, 0.02, shift,
                        )
                    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_geometry(path, rows)
    return path


def write_made_up_overlap(path, labels, rng):
    """Every pair of runs overlaps a little more than its nulls say."""
    runs = [RunFolder(*label, "gone") for label in labels]
    rows = [
        OverlapRow(
            a.mode, a.seed, a.rep, b.mode, b.seed, b.rep, what_differs(a, b), 0.6, 0.6,
            0.6 + rng.uniform(0, 0.1), 0.43, 0.5, 0.52, 0.7, 0.5,
        )
        for a, b in combinations(runs, 2)
    ]  # fmt: skip
    write_overlap(path, rows)
    return path


def write_manifest(path):
    def entry(task, rows):
        return {
            "task": task, "rows": rows, "rows_read": rows + 3, "near_copies_dropped": 1,
            "duplicates_dropped": 2, "overlap_dropped": 0, "sha256": "ab" * 32, "prompts_sha256": "cd" * 32,
            "template": "plain",
            "verifier": "exact", "longest_prompt_bytes": 9,
            "sources": [{"kind": "synthetic", "family": task, "split": "held_out"}],
        }  # fmt: skip

    record = {"train": entry("add", 1850), "evaluation": {task: entry(task, 460) for task in TASKS}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def write_provenance(path, label, dropout_rate=0.1, custom_modes=None):
    arm, seed, rep = label
    record = {
        "movable_fraction_of_base": 0.28,
        "job": {"seed": seed, "rep": rep, "training": {"steps": 120}},
        "mode": asdict(resolve_mode(arm, dropout_rate, custom_modes or {})),
        "prompts": {"used": 400, "too_long": 0, "room": 26},
        "inputs": {"problems": "ef" * 32}, "python": "3.11", "packages": {"torch": "2.13.0", "numpy": "2.3"},
        "device": "NVIDIA H100", "threads": 1, "flags": {"deterministic": arm == "fp32"},
        "dtypes": {"master": "bfloat16" if arm == "bf16" else "float32"},
        "weight_hash": f"{arm}{seed}{rep}".ljust(64, "0"), "parameters": 186_944, "seconds": 12.5 + seed,
        "notes": ["bf16 noted this"] if arm == "bf16" else [],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def write_study(folder, arms=tuple(DELTA), seeds=5, repeats=1, custom_modes=None) -> StudyOnDisk:
    """A whole study; the values over seeds have exactly the mean and sd that DELTA and KL state."""
    rng = np.random.default_rng(7)

    def over_seeds(table):
        noise = rng.standard_normal((seeds, len(TASKS)))
        if seeds > 1:
            noise = (noise - noise.mean(0)) / noise.std(0, ddof=1)
        return np.array(table[0]) + noise * np.array(table[1])

    labels, runs, metrics, provenance = [], [], [], []
    for arm in arms:
        deltas, kls = over_seeds(DELTA[arm]), over_seeds(KL[arm])
        for seed in range(1, seeds + 1):
            for rep in range(1, repeats + 1):
                label = (arm, seed, rep)
                trained = folder / "train" / arm / f"seed{seed}" / f"rep{rep}"
                labels.append(label)
                name = f"{arm}-{seed}"
                runs.append(
                    write_run(folder, label, deltas[seed - 1], kls[seed - 1], weight_hash=name, rng=rng)
                )
                metrics.append(write_metrics(trained / "metrics.csv", label, rng))
                provenance.append(
                    write_provenance(trained / "provenance.json", label, custom_modes=custom_modes)
                )
    manifest = write_manifest(folder / "manifest.json")
    base = (write_base(folder),)
    geometry = tuple(
        write_made_up_geometry(folder / "geometry" / f"{arm}.csv", [n for n in labels if n[0] == arm], rng)
        for arm in arms
    )
    overlap = write_made_up_overlap(folder / "overlap.csv", labels, rng)
    return StudyOnDisk(
        folder, base, tuple(runs), tuple(metrics), tuple(provenance), tuple(labels), manifest, geometry,
        overlap,
    )  # fmt: skip
