"""Arms small enough for unit tests, of the policy that `tiny_run` trains (task max, bare answers)."""

import csv
import gzip
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from rlvr.alignment.job import ArmFiles, ArmInputs, Common
from rlvr.config.build import build
from rlvr.data.families import FAMILIES, family_problems
from rlvr.files import write_jsonl
from rlvr.precision import MODES

COMMON = {
    "seeds": 2,
    "prompt": {"template": "plain", "verifier": "exact"},
    "generation": {
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 4,
        "min_tokens": 0,
        "stop": [],
        "max_batch_rows": 64,
    },
    "validation": {"rows": 24, "final_rows": 40, "seed": 0, "logged": 5},
    "optimization": {"betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
    "collapse_share": 0.2,
    "device": "cpu",
    "compute_threads": 1,
    "verification": {"time_limit_s": 10.0, "memory_mb": 1024, "require_isolation": "any"},
}


def make_common(mode="fp32", dropout=0.0, **replaced) -> Common:
    """Of a named mode, with attention dropout at that rate and the keys of `COMMON` in `replaced`."""
    factors = asdict(MODES[mode]) | ({"dropout": {"kind": "standard", "rate": dropout}} if dropout else {})
    return build(Common, COMMON | {"mode": factors} | replaced)


def examples(rows=60):
    """Rows of sft.jsonl, two of three of them correct."""
    problems = family_problems("max", "train")[:rows]
    return [
        {
            "id": problem.id,
            "prompt": problem.prompt,
            "response": problem.answer
            if number % 3
            else FAMILIES["max"].wrong(problem.prompt.removeprefix("m:").removesuffix("=")),
            "ground_truth": problem.answer,
            "correct": bool(number % 3),
        }
        for number, problem in enumerate(problems)
    ]


def make_inputs(base: Path, folder: Path, rows=None) -> ArmInputs:
    """`rows` of examples for SFT; else the questions of train.jsonl, for sampling."""
    folder.mkdir(parents=True, exist_ok=True)
    validation = folder / "validation.jsonl"
    # Any verifier: that of the prompt counts.
    held_out = [asdict(problem) | {"verifier": "math"} for problem in family_problems("max", "held_out")[:60]]
    write_jsonl(validation, held_out)
    source = base / "train.jsonl"
    if rows is not None:
        source = folder / "sft.jsonl"
        write_jsonl(source, rows)
    return ArmInputs(str(base / "policy"), str(source), str(validation))


def make_files(folder: Path) -> ArmFiles:
    names = (
        "policies",
        "metrics.csv",
        "validation.csv",
        "generations.jsonl.gz",
        "tensorboard",
        "provenance.json",
    )
    return ArmFiles(*(str(folder / name) for name in names), checkpoints=str(folder / "checkpoints"))


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def without_times(path):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table(path)]


def lines(path):
    with gzip.open(path, "rt") if str(path).endswith(".gz") else open(path) as file:
        return [json.loads(line) for line in file]


def die_after_checkpoint(monkeypatch, module, seed, step, run):
    """Interrupt `run()` right after `module` has saved the checkpoint of a step of a seed."""
    save = module.save_checkpoint

    def save_and_die(folder, saved, state, identity):
        save(folder, saved, state, identity)
        if (Path(folder).name, saved) == (f"training{seed}", step):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run()
