"""What the facts about a machine mean: what was found, whether it is enough, and what would mend it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlvr.config.rollout import TESTED_VERSION
from rlvr.doctor.machine import Disk, Gpus, HubCache, Machine, Package, Slurm
from rlvr.verify.sandbox.rungs import REMEDY, Isolation

State = Literal["ok", "limited", "missing"]

OLDEST_PYTHON = (3, 11)
# What the embedded default writes, with room for its checkpoints.
SMALLEST_DISK = 10**9


@dataclass(frozen=True)
class Check:
    """`missing` stops every study, `limited` only what `fix` says; `fix` is "" where all is well."""

    subject: str
    state: State
    found: str
    fix: str = ""


def check(machine: Machine) -> Iterator[Check]:
    """Every check, in the order in which a person would mend things."""
    yield _python(machine)
    yield _packages(machine.packages)
    yield _torch(machine)
    yield _gpus(machine.gpus)
    yield Check("CPU", "ok", f"{machine.cores} cores, {machine.memory / 1e9:.0f} GB of memory")
    yield _vllm(machine.vllm)
    yield _sandbox(machine.isolation)
    yield _slurm(machine.slurm)
    yield _hub(machine.hub)
    yield from map(_disk, machine.disks)


def _python(machine: Machine) -> Check:
    found = f"{'.'.join(map(str, machine.python))} on {machine.system}"
    if machine.python < OLDEST_PYTHON:
        return Check("Python", "missing", found, "Python 3.11 or later: make PYTHON=python3.12 run")
    if machine.system != "Linux":
        return Check("Python", "limited", found, "only Linux was tried")
    return Check("Python", "ok", found)


def _packages(packages: tuple[Package, ...]) -> Check:
    mend = "make environment, or pip install -e ."
    if not packages:
        return Check("packages", "missing", "rlvr is not installed in this Python", mend)
    wrong = [
        f"{package.name}{package.required} ({package.found or 'none'} found)"
        for package in packages
        if not package.fits
    ]
    if wrong:
        return Check("packages", "missing", f"wanted: {', '.join(wrong)}", mend)
    return Check("packages", "ok", f"all {len(packages)} that rlvr needs")


def _torch(machine: Machine) -> Check:
    if not machine.torch:
        return Check("torch", "missing", "none", "make environment")
    found = machine.torch
    build = f"for CUDA {machine.torch_cuda}" if machine.torch_cuda else "for CPUs"
    if machine.gpus.models and not machine.torch_cuda:
        fix = (
            f"to use the GPUs: pip install --force-reinstall torch=={found.split('+')[0]} "
            "--index-url https://download.pytorch.org/whl/cu130"
        )
        return Check("torch", "limited", f"{found}, {build}, on a machine with GPUs", fix)
    if machine.cuda_error:
        fix = "a newer driver of the GPUs, or torch for an older CUDA (its index: make TORCH_INDEX=...)"
        return Check("torch", "limited", f"{found}, {build}, fails there: {machine.cuda_error}", fix)
    return Check("torch", "ok", f"{found}, {build}")


def _gpus(gpus: Gpus) -> Check:
    if gpus.problem:
        return Check("GPUs", "limited", gpus.problem, "see docs/workflow.md, GPUs, or docs/cluster.md")
    if not gpus.models:
        fix = "none is needed for the embedded studies; device: cuda and gpu above 0 in a config need one"
        return Check("GPUs", "limited", "none (nvidia-smi lists none)", fix)
    names = [f"{name} ({memory})" for name, memory in gpus.models]
    counted = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    use = f"; {gpus.usable} for jobs here, {gpus.busy} of them in use"
    if gpus.usable == gpus.busy:
        fix = "wait until one is free, or name others in RLVR_GPUS or CUDA_VISIBLE_DEVICES"
        return Check("GPUs", "limited", counted + use, fix)
    return Check("GPUs", "ok", counted + use)


def _vllm(found: str) -> Check:
    if not found:
        fix = "needed only for rollout.engine: vllm (docs/vllm.md); the native engine samples without it"
        return Check("vLLM", "limited", "not installed", fix)
    if found.split("+", maxsplit=1)[0] != TESTED_VERSION:
        return Check("vLLM", "limited", f"{found}, not tested", f"the tested version is {TESTED_VERSION}")
    return Check("vLLM", "ok", f"{found}, the tested version")


def _sandbox(isolation: Isolation | str) -> Check:
    if isinstance(isolation, str):
        return Check("sandbox", "limited", isolation, f"for verifier: code and the repair study: {REMEDY}")
    found = f"{isolation.rung} ({', '.join(isolation.layers) or 'no further layer'})"
    if not isolation.strong:
        return Check("sandbox", "limited", f"{found}, weak: {isolation.reason}", REMEDY)
    return Check("sandbox", "ok", f"{found}, strong")


def _slurm(slurm: Slurm) -> Check:
    if not slurm.commands:
        return Check("SLURM", "limited", "not here", "needed only for profiles/slurm (docs/cluster.md)")
    absent = {"sbatch", "squeue", "scancel"} - set(slurm.commands)
    if absent:
        return Check("SLURM", "limited", f"no {', '.join(sorted(absent))}", "put SLURM's commands into PATH")
    if not slurm.answers:
        return Check("SLURM", "limited", f"squeue fails: {slurm.answer}", "ask who runs the cluster")
    if not slurm.plugin:
        fix = "make environment, or pip install 'rlvr[slurm]'"
        return Check("SLURM", "limited", "sbatch and squeue, but no executor of Snakemake", fix)
    return Check("SLURM", "ok", f"sbatch, squeue, executor {slurm.plugin}")


def _hub(hub: HubCache) -> Check:
    found = f"{hub.repositories} repositories in {hub.folder}"
    if not hub.pyarrow:
        fix = "for data sets of the hub: make environment, or pip install 'rlvr[hub]'"
        return Check("hub", "limited", f"{found}; no pyarrow, which reads Parquet files", fix)
    return Check("hub", "ok", f"{found}; pyarrow {hub.pyarrow}")


def _disk(disk: Disk) -> Check:
    subject, found = f"disk, {disk.use}", f"{disk.free / 1e9:.0f} GB free in {disk.folder}"
    # Studies that take everything from local files need no hub cache.
    bad: State = "limited" if disk.use == "hub cache" else "missing"
    if not disk.writable:
        return Check(subject, bad, f"{disk.folder} cannot be written", "change its owner, or take another")
    if disk.free < SMALLEST_DISK:
        return Check(subject, bad, found, f"{SMALLEST_DISK / 1e9:.0f} GB is the least for the default study")
    return Check(subject, "ok", found)
