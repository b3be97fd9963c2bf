"""A short measured probe: how fast the precision study's policy trains on this machine."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rlvr.config.build import build
from rlvr.config.data import TrainDataConfig
from rlvr.config.policy import ArchitectureConfig
from rlvr.data.prepare import prepare_training_data
from rlvr.data.problem import read_problems
from rlvr.precision import resolve_mode
from rlvr.training.grpo import train_step
from rlvr.training.trainer import Trainer, TrainingJob
from rlvr.verify.registry import Judge

# The first step also measures the KL to the base and fills caches; the median is over the others.
FEWEST_STEPS = 3


@dataclass(frozen=True)
class Probe:
    """What was measured: `steps` after the first, their median seconds, tokens of a response."""

    mode: str
    policy: str
    steps: int
    seconds_per_step: float
    response_tokens: float


def training_job(config: Mapping[str, Any], mode: str) -> TrainingJob:
    """The first run of a mode of the precision study."""
    study = config["precision"]
    verification = {key: value for key, value in config["verification"].items() if key != "workers"}
    return build(
        TrainingJob,
        {
            "mode": asdict(resolve_mode(mode, study["dropout_rate"], study["custom_modes"])),
            "seed": 1,
            "rep": 1,
            "template": config["data"]["train"]["template"],
            "device": config["device"],
            "compute_threads": config["compute_threads"],
            "verification": verification,
            "training": study["training"],
        },
    )


def measure_steps(config: Mapping[str, Any], folder: Path | None, seconds: float) -> Probe:
    """Train for about `seconds` in a temporary folder.

    `folder`: the policy; None for a random one of the tiny architecture. With random weights every answer is
    wrong, so that dynamic sampling would leave nothing to train on: it is then off.
    """
    job = training_job(config, config["precision"]["modes"][0])
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        problems, manifest = place / "train.jsonl", place / "manifest.json"
        data = build(TrainDataConfig, config["data"]["train"])
        prepare_training_data(data, config["data_root"], [], problems, manifest)
        if folder is None:
            folder = place / "policy"
            folder.mkdir()
            _random_policy(config["base"], folder)
            sampling = replace(job.training.dynamic_sampling, enabled=False)
            job = replace(job, training=replace(job.training, dynamic_sampling=sampling))
            name = "random weights"
        else:
            name = str(folder)
        rows = _steps(job, folder, place, problems, config["verification"]["workers"], seconds)
    timed = rows[1:]
    return Probe(
        mode=job.mode.name,
        policy=name,
        steps=len(timed),
        seconds_per_step=median(row["seconds_step"] for row in timed),
        response_tokens=sum(row["tokens"] for row in timed) / sum(row["rollouts"] for row in timed),
    )


def _steps(
    job: TrainingJob, folder: Path, place: Path, problems: Path, workers: int, seconds: float
) -> list[dict[str, Any]]:
    """The metrics of the steps that were begun before the time was up, at least `FEWEST_STEPS`."""
    trainer = Trainer(job, str(folder), place / "checkpoints", "probe")
    rows: list[dict[str, Any]] = []
    with trainer.open_engine() as engine, Judge(workers, job.verification) as judge:
        setting = trainer.setting(engine, judge, read_problems(problems))
        started = time.monotonic()
        while len(rows) < FEWEST_STEPS or time.monotonic() - started < seconds:
            rows.append(train_step(setting, len(rows))[0])
    return rows


def _random_policy(base: Mapping[str, Any], folder: Path) -> None:
    import torch

    from rlvr.models.decoder import Decoder
    from rlvr.models.loading import save_policy
    from rlvr.models.tiny import decoder_config, initialise
    from rlvr.models.tokenizers import small_tokenizer

    tokenizer = small_tokenizer(base["tokenizer"])
    sizes = decoder_config(build(ArchitectureConfig, base["architecture"]), len(tokenizer))
    model = Decoder(sizes, master=torch.float32, compute=torch.float32)
    initialise(model, base["architecture"]["init_std"], base["seed"])
    save_policy(model, tokenizer, folder, sizes.to_hf())
