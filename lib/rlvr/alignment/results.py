"""Results of an arm: seed by seed beside its checkpoints, then all together as its declared outputs."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlvr.alignment.job import ArmFiles, ExpertIterationJob, GrpoJob, SftJob
from rlvr.devices import describe_device, resolve_device
from rlvr.files import atomic_path, remove, write_csv, write_json, write_jsonl, write_text
from rlvr.provenance import digest, environment, sha256_path
from rlvr.training.completion import clear_checkpoints, release_checkpoints
from rlvr.training.tensorboard import write_tensorboard_by_seed

logger = logging.getLogger(__name__)

Row = dict[str, Any]

VALIDATION_COLUMNS = (
    "seed",
    "step",
    "seconds",
    "problems",
    "accuracy",
    "format_rate",
    "reward_mean",
    "entropy_mean",
    "length_mean",
    "length_mean_correct",
    "length_mean_wrong",
    "well_formed_wrong",
    "unformatted",
    "truncated",
    "final",
    "diverged",
    "reason",
)


@dataclass(frozen=True)
class SeedResult:
    """One trained seed: rows without their `seed`, and the `record` that goes into the provenance.

    `validation` has the columns of VALIDATION_COLUMNS; `metrics` one row a training step, its `step` first.
    """

    seed: int
    metrics: list[Row]
    validation: list[Row]
    generations: list[Row]
    record: dict[str, Any]


def validation_row(measures: Mapping[str, Any], seconds: float) -> Row:
    """A row of the validation table; `measures`: see `Validation.row`; `seconds` of training before it."""
    return {**measures, "seconds": seconds, "final": False, "diverged": False, "reason": ""}


def close_validation(rows: Sequence[Row], collapse_share: float, broken: str = "") -> list[Row]:
    """The rows of a run that is over, the last marked as final and with whether the run has diverged.

    It has if something was no finite number, which `broken` says in words, or if its last accuracy is below
    `collapse_share` of the first one's, that before training.
    """
    start, end = rows[0]["accuracy"], rows[-1]["accuracy"]
    reason = broken
    if not reason and end < collapse_share * start:
        reason = f"final accuracy {end:.4f} is below {collapse_share:g} of the start's {start:.4f}"
    return [*rows[:-1], {**rows[-1], "final": True, "diverged": bool(reason), "reason": reason}]


def _finished(files: ArmFiles, seed: int) -> Path:
    return Path(files.checkpoints) / f"seed{seed}"


def checkpoints_of(files: ArmFiles, seed: int) -> Path:
    """Folder of the checkpoints of a seed that is being trained."""
    return Path(files.checkpoints) / f"training{seed}"


def save_finished(
    files: ArmFiles, result: SeedResult, identity: str, save_policy: Callable[[Path], None]
) -> None:
    """Keep a trained seed until its arm is complete, and drop the checkpoints of its training.

    `save_policy` writes the policy into a folder, which it makes. `identity`: see `load_finished`.
    """
    with atomic_path(_finished(files, result.seed)) as folder:
        folder.mkdir()
        save_policy(folder / "policy")
        # Not write_json: rows may hold NaN, which must come back as it was.
        write_text(folder / "result.json", json.dumps({"identity": identity, "result": asdict(result)}))
    clear_checkpoints(checkpoints_of(files, result.seed))


def load_finished(files: ArmFiles, seed: int, identity: str) -> SeedResult | None:
    """What `save_finished` kept; None if there is nothing, or nothing of this identity (which is removed).

    `identity` is a digest of everything that must be equal for the result to be the same.
    """
    folder = _finished(files, seed)
    if not folder.exists():
        return None
    try:
        kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if kept["identity"] == identity:
            logger.info("seed %d has been trained before; its result is taken from %s", seed, folder)
            return SeedResult(**kept["result"])
        logger.warning("%s belongs to another config or code; removed", folder)
    except (OSError, ValueError, KeyError) as problem:
        logger.warning("%s is unreadable (%s); removed", folder, problem)
    remove(folder)
    return None


def arm_header(
    method: str, job: SftJob | ExpertIterationJob | GrpoJob, inputs: Mapping[str, str], code: str
) -> dict[str, Any]:
    """What the seeds of an arm share in the provenance; `inputs`: hashes of its input files."""
    common = asdict(job.common)
    return {
        "arm": job.arm,
        "method": method,
        "settings": asdict(job.settings),
        **{name: common[name] for name in ("mode", "prompt", "generation", "validation", "optimization")},
        "collapse_share": job.common.collapse_share,
        "config_digest": digest(job),
        "code_digest": code,
        "inputs": dict(inputs),
        **environment(),
        "device": describe_device(resolve_device(job.common.device)),
        "threads": job.common.compute_threads,
    }


def write_arm(files: ArmFiles, results: Sequence[SeedResult], header: Mapping[str, Any]) -> None:
    """Write the outputs of an arm whose seeds are all finished, and then release what was kept of them.

    `header`: what the seeds share in the provenance, to which `runs` and the hashes of `outputs` are added.
    """
    metrics = _with_seed(results, "metrics")
    columns = dict.fromkeys(["seed", "step", *(column for row in metrics for column in row)])
    write_csv(files.metrics, list(columns), metrics)
    write_csv(files.validation, VALIDATION_COLUMNS, _with_seed(results, "validation"))
    write_jsonl(files.generations, _with_seed(results, "generations"))
    write_tensorboard_by_seed(
        files.tensorboard,
        {result.seed: {"": result.metrics, "validation/": result.validation} for result in results},
    )
    with atomic_path(files.policies) as folder:
        folder.mkdir()
        for result in results:
            shutil.copytree(_finished(files, result.seed) / "policy", folder / f"seed{result.seed}")
    written = ("metrics", "validation", "generations")
    outputs = {name: sha256_path(getattr(files, name)) for name in written}
    runs = [result.record for result in results]
    write_json(files.provenance, {**header, "outputs": outputs, "runs": runs})
    release_checkpoints(files.checkpoints)


def _with_seed(results: Sequence[SeedResult], table: str) -> list[Row]:
    return [{"seed": result.seed, **row} for result in results for row in getattr(result, table)]
