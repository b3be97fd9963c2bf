"""The planner's memory beside the measured peak of a training job.

    python bench/plan_memory.py        # ten minutes on two busy cores; --device cuda on a GPU

For three policies with random weights (the embedded one's shape, one of five million, one with longer rows)
and each mode: the trainer of the studies is set up and takes two steps. The peak is the most that torch has
allocated at a time, from its profiler (CPU) or its allocator's own count (CUDA); the growth of the process's
resident memory stands beside it, profiler included. Status 1 if a plan lies outside the stated tolerance.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

MODES = ("fp32", "bf16", "bf16_mixed", "bf16_fp32state", "bf16_sr", "bf16_kahan")
# The plan may exceed the measured peak by this factor and must not fall below it.
TOLERANCE = 1.4
GROUP = 8  # of config.yaml


@dataclass(frozen=True)
class Case:
    """A random policy and the load of a step, by name of an architecture and of the training's sizes."""

    architecture: dict[str, int]
    tokenizer: str
    prompts: int
    rows: int
    response: int


def _architecture(hidden: int, layers: int, heads: int, kv_heads: int, mlp: int, positions: int) -> dict:
    return {
        "hidden_size": hidden, "layers": layers, "heads": heads, "kv_heads": kv_heads, "mlp_size": mlp,
        "tied_embeddings": True, "init_std": 0.02, "max_positions": positions,
    }  # fmt: skip


CASES = {
    "tiny": Case(_architecture(64, 4, 4, 2, 176, 32), "characters", 24, 96, 6),
    "middle": Case(_architecture(320, 4, 5, 1, 1120, 64), "bytes", 2, 16, 32),
    "long": Case(_architecture(192, 3, 6, 2, 512, 192), "bytes", 1, 8, 136),
}


def problems() -> list:
    """What is trained on."""
    from rlvr.data.families import family_problems

    return family_problems("add", "train")[:256]


def make_policy(case: Case, folder: Path) -> None:
    """A policy with random weights."""
    import torch

    from rlvr.config.build import build
    from rlvr.config.policy import ArchitectureConfig
    from rlvr.models.decoder import Decoder
    from rlvr.models.loading import save_policy
    from rlvr.models.tiny import decoder_config, initialise
    from rlvr.models.tokenizers import small_tokenizer

    tokenizer = small_tokenizer(case.tokenizer)
    sizes = decoder_config(build(ArchitectureConfig, case.architecture), len(tokenizer))
    model = Decoder(sizes, torch.float32, torch.float32)
    initialise(model, case.architecture["init_std"], 0)
    save_policy(model.to(torch.bfloat16), tokenizer, folder, sizes.to_hf())


def run_steps(case: Case, mode: str, device: str, folder: Path) -> None:
    """Set up the trainer and take two steps."""
    from rlvr.config.load import load_config
    from rlvr.plan.probe import training_job
    from rlvr.training.grpo import train_step
    from rlvr.training.trainer import Trainer
    from rlvr.verify.registry import Judge

    config = load_config("config.yaml")
    job = training_job(config, mode)
    sampling = replace(job.training.sampling, max_tokens=case.response, min_tokens=case.response)
    training = replace(
        job.training, prompts_per_step=case.prompts, minibatches=1, microbatch_size=case.rows,
        sampling=sampling, overlong=replace(job.training.overlong, enabled=False), kl_every_steps=1,
        dynamic_sampling=replace(job.training.dynamic_sampling, enabled=False),
    )  # fmt: skip
    trainer = Trainer(replace(job, training=training, device=device), str(folder), folder / "none", "none")
    with trainer.open_engine() as engine, Judge(1, job.verification) as judge:
        setting = trainer.setting(engine, judge, problems())
        for step in range(2):
            train_step(setting, step)


def allocated_peak(work: Callable[[], None], device: str) -> int:
    """The most bytes of tensors at a time while `work` runs."""
    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    events = profile.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes):
        held += change
        peak = max(peak, held)
    return peak


def measure(case: Case, mode: str, device: str) -> None:
    """In a process of its own: the measured peak, and how much its resident memory grew, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        make_policy(case, Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = allocated_peak(lambda: run_steps(case, mode, device, Path(folder)), device)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    sys.stdout.write(f"{peak} {grown}\n")


def planned(case: Case, mode: str, device: str) -> tuple[int, int, str]:
    """Parameters, the planner's peak in bytes, and its phase."""
    from rlvr.plan.memory import TrainingLoad, training_memory
    from rlvr.plan.shapes import policy_shape
    from rlvr.precision import resolve_mode

    base = {"kind": "tiny", "architecture": case.architecture, "tokenizer": case.tokenizer}
    shape = policy_shape("base", base, Path("none"), None)
    prompt = max(len(problem.prompt) for problem in problems())  # a token a character or byte
    load = TrainingLoad(case.rows, case.prompts * GROUP, GROUP, prompt, case.response, 1.0, 65536, device)
    memory = training_memory(shape.sizes, resolve_mode(mode, 0.1, {}), load)
    return shape.parameters, round(memory.peak()), memory.peak_phase()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--measure", nargs=2, metavar=("POLICY", "MODE"), help="one case, in this process")
    options = parser.parse_args()
    if options.measure:
        measure(CASES[options.measure[0]], options.measure[1], options.device)
        return
    write = sys.stdout.write
    write(
        f"{'policy':8}{'mode':16}{'weights':>12}{'planned MB':>12}{'measured':>10}{'ratio':>7}"
        f"{'RSS grew':>10}\n"
    )
    outside = 0
    for name, case in CASES.items():
        for mode in MODES:
            command = [sys.executable, __file__, "--device", options.device, "--measure", name, mode]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            peak, grown = map(int, answer[-2:])
            parameters, plan, phase = planned(case, mode, options.device)
            outside += not 1 <= plan / peak <= TOLERANCE
            write(f"{name:8}{mode:16}{parameters:12,}{plan / 1e6:12.1f}{peak / 1e6:10.1f}{plan / peak:7.2f}")
            write(f"{grown / 1e6:10.1f}  {phase}\n")
            sys.stdout.flush()
    write(f"outside 1 to {TOLERANCE}: {outside}\n")
    sys.exit(outside > 0)


if __name__ == "__main__":
    main()
