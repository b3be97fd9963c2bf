"""Seconds of one training step beside TRL's GRPOTrainer on the same work, on one thread, in one run.

    python -m venv trl && trl/bin/pip install trl==1.16.0 torch==2.13.0
    python bench/training_step.py --trl trl/bin/python       # some minutes, nothing else beside it

The work: a character policy of 0.19 M parameters after some SFT, 32 prompts × 8 responses of at most 8
tokens, one update with DAPO's loss, fp32. Ours has its step metrics on (KL to the base every 10 steps,
sparsity and update norms every step). Processes of both alternate; a figure is the median over the steps of
all rounds, the first steps of a process left out. The ratio is that of neighbouring processes, median over
rounds.
"""

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
TASK = {"prompts": 32, "samples": 8, "tokens": 8, "learning_rate": 5e-5}
FIRST_STEPS = 5
SFT_STEPS = 200
PHASES = ("rollout", "verify", "log_probs", "update")


def make_work(folder: Path) -> None:
    """A policy that is right now and then, and problems for both halves."""
    from rlvr.config.build import build
    from rlvr.config.policy import TinyPolicyConfig
    from rlvr.data.families import family_problems
    from rlvr.files import write_jsonl
    from rlvr.training.base import prepare_base_policy

    base = config_of("config.yaml")["base"]
    base["sft"] |= {"steps": SFT_STEPS}
    config = build(TinyPolicyConfig, base)
    prepare_base_policy(config, "", "cpu", folder / "policy", folder / "base.csv", folder / "checkpoints")
    problems = family_problems("add", "train")[:4096]
    write_jsonl(folder / "problems.jsonl", map(asdict, problems))
    rows = [{"prompt": problem.prompt, "answer": problem.answer} for problem in problems]
    (folder / "problems.json").write_text(json.dumps(rows))
    (folder / "task.json").write_text(json.dumps(TASK))


def config_of(name: str) -> dict:
    """A config with the defaults of the schema."""
    from rlvr.config.load import load_config

    return load_config(ROOT / name)


def train(folder: Path, steps: int) -> None:
    """Our half: prints what trl_step.py prints, and the seconds of each phase."""
    from rlvr.config.build import build
    from rlvr.precision import resolve_mode
    from rlvr.training.run import TrainingFiles, train_policy
    from rlvr.training.trainer import TrainingJob

    config = config_of("config.yaml")
    training = config["precision"]["training"] | {
        "steps": steps,
        "prompts_per_step": TASK["prompts"],
        "group_size": TASK["samples"],
        "minibatches": 1,
        "snapshot_steps": [],
        "checkpoint_every_steps": steps,
    }
    training["sampling"] |= {"max_tokens": TASK["tokens"]}
    training["dynamic_sampling"] = {"enabled": False, "max_rounds": 0}
    training["optimizer"] |= {"learning_rate": TASK["learning_rate"], "warmup_steps": 0}
    job = build(
        TrainingJob,
        {
            "mode": asdict(resolve_mode("fp32", 0.0, {})),
            "seed": 1,
            "rep": 1,
            "template": "plain",
            "device": "cpu",
            "compute_threads": 1,
            "verification": {key: config["verification"][key] for key in VERIFICATION},
            "training": training,
        },
    )
    names = ("policy", "snapshots", "rollouts", "tensorboard", "provenance", "checkpoints")
    out = {name: str(folder / "ours" / name) for name in names}
    out["metrics"] = str(folder / "ours" / "metrics.csv")
    out["rollouts"] += ".jsonl.gz"
    files = TrainingFiles(base=str(folder / "policy"), problems=str(folder / "problems.jsonl"), **out)
    train_policy(job, files)
    with open(out["metrics"]) as file:
        rows = list(csv.DictReader(file))
    print(
        json.dumps(
            {
                "seconds": [float(row["seconds_step"]) for row in rows],
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "phases": {name: [float(row[f"seconds_{name}"]) for row in rows] for name in PHASES},
            }
        )
    )


VERIFICATION = ("time_limit_s", "memory_mb", "require_isolation")


def run(*command: str) -> dict:
    """The last line that a process prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(runs: list[dict]) -> float:
    """Of the steps of all runs, without the first ones of each."""
    return statistics.median(value for one in runs for value in one["seconds"][FIRST_STEPS:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trl", help="a Python that has trl; left out: ours alone")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        return train(Path(given.train), given.steps)
    with tempfile.TemporaryDirectory() as name:
        folder, steps = Path(name), str(given.steps)
        make_work(folder)
        ours, theirs = [], {}
        for _ in range(given.rounds):
            ours.append(run(sys.executable, __file__, "--train", name, "--steps", steps))
            if given.trl:
                for setting in ("plain", "static cache"):
                    script = str(Path(__file__).with_name("trl_step.py"))
                    theirs.setdefault(setting, []).append(run(given.trl, script, name, steps, setting))
    print(f"ours: {1e3 * median(ours):.1f} ms a step, {max(one['peak_mib'] for one in ours):.0f} MiB")
    for phase in PHASES:
        found = median([{"seconds": one["phases"][phase]} for one in ours])
        print(f"  {phase}: {1e3 * found:.1f} ms")
    for setting, runs in theirs.items():
        peak = max(one["peak_mib"] for one in runs)
        ratios = [median([other]) / median([own]) for own, other in zip(ours, runs, strict=True)]
        print(
            f"TRL, {setting}: {1e3 * median(runs):.1f} ms a step, {peak:.0f} MiB, "
            f"{statistics.median(ratios):.2f} × ours"
        )


if __name__ == "__main__":
    main()
