"""What the doctor says of machines that have everything, and of machines that lack something."""

import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace

import pytest

from rlvr.doctor import machine as probes
from rlvr.doctor.checks import SMALLEST_DISK, check
from rlvr.doctor.cli import line, run
from rlvr.doctor.machine import Disk, Gpus, HubCache, Machine, Package, Slurm
from rlvr.verify.sandbox.rungs import Isolation

H100 = ("NVIDIA H100 80GB HBM3", "81559 MiB")
EQUIPPED = Machine(
    system="Linux",
    python=(3, 12, 1),
    cores=16,
    memory=128 * 10**9,
    packages=(Package("torch", "2.13.0", "==2.13.0", True), Package("rich", "15.0.0", "", True)),
    torch="2.13.0",
    torch_cuda="13.0",
    cuda_error="",
    gpus=Gpus((H100, H100), usable=2, busy=1, problem=""),
    vllm="0.32.0",
    isolation=Isolation("bubblewrap", True, ("landlock", "seccomp"), ""),
    slurm=Slurm(("sbatch", "squeue", "scancel"), "2.8.0", True, ""),
    hub=HubCache("/hub", 3, "26.0.1"),
    disks=(Disk("results", "results", 10**12, True), Disk("hub cache", "/hub", 10**12, True)),
)
CPU_ONLY = Gpus((), usable=0, busy=0, problem="")


def of(machine, subject):
    (found,) = (one for one in check(machine) if one.subject == subject)
    return found


def test_a_machine_with_everything_has_nothing_to_mend():
    found = list(check(EQUIPPED))
    assert [(one.state, one.fix) for one in found] == [("ok", "")] * len(found)
    assert of(EQUIPPED, "GPUs").found == (
        "2 × NVIDIA H100 80GB HBM3 (81559 MiB); 2 for jobs here, 1 of them in use"
    )


LACKING = {
    "old Python": ("Python", {"python": (3, 10, 2)}, "missing", "3.10.2", "3.11"),
    "another system": ("Python", {"system": "Darwin"}, "limited", "Darwin", "Linux"),
    "not installed": ("packages", {"packages": ()}, "missing", "rlvr is not installed", "make environment"),
    "another torch": (
        "packages",
        {"packages": (Package("torch", "2.9.0", "==2.13.0", False),)},
        "missing",
        "torch==2.13.0 (2.9.0 found)",
        "make environment",
    ),
    "a package less": (
        "packages",
        {"packages": (Package("rich", "", "", False),)},
        "missing",
        "rich (none found)",
        "pip install",
    ),
    "no torch": ("torch", {"torch": "", "torch_cuda": ""}, "missing", "none", "make environment"),
    "a CPU build on a GPU machine": (
        "torch",
        {"torch": "2.13.0+cpu", "torch_cuda": ""},
        "limited",
        "2.13.0+cpu, for CPUs, on a machine with GPUs",
        "torch==2.13.0 --index-url",
    ),
    "an old driver": (
        "torch",
        {"cuda_error": "RuntimeError: driver too old"},
        "limited",
        "driver too old",
        "a newer driver",
    ),
    "no GPU": ("GPUs", {"gpus": CPU_ONLY}, "limited", "none", "none is needed for the embedded studies"),
    "withheld GPUs": (
        "GPUs",
        {"gpus": Gpus((H100,), 0, 0, "the scheduler gave this job none (CUDA_VISIBLE_DEVICES=)")},
        "limited",
        "the scheduler gave this job none",
        "docs/cluster.md",
    ),
    "busy GPUs": (
        "GPUs",
        {"gpus": Gpus((H100,), 1, 1, "")},
        "limited",
        "1 for jobs here, 1 of them in use",
        "RLVR_GPUS",
    ),
    "no vLLM": ("vLLM", {"vllm": ""}, "limited", "not installed", "native engine"),
    "another vLLM": ("vLLM", {"vllm": "0.33.0"}, "limited", "0.33.0, not tested", "0.32.0"),
    "a weak sandbox": (
        "sandbox",
        {"isolation": Isolation("uid", False, ("rlimits",), "bubblewrap: not found")},
        "limited",
        "uid (rlimits), weak: bubblewrap: not found",
        "Install bubblewrap",
    ),
    "no sandbox": (
        "sandbox",
        {"isolation": "Untrusted programs cannot be run on win32"},
        "limited",
        "cannot be run",
        "Install bubblewrap",
    ),
    "no SLURM": ("SLURM", {"slurm": Slurm((), "", False, "")}, "limited", "not here", "profiles/slurm"),
    "half of SLURM": (
        "SLURM",
        {"slurm": Slurm(("sbatch",), "2.8.0", False, "")},
        "limited",
        "no scancel, squeue",
        "PATH",
    ),
    "a dead controller": (
        "SLURM",
        {"slurm": Slurm(("sbatch", "scancel", "squeue"), "2.8.0", False, "Unable to contact")},
        "limited",
        "Unable to contact",
        "ask",
    ),
    "no executor": (
        "SLURM",
        {"slurm": Slurm(("sbatch", "scancel", "squeue"), "", True, "")},
        "limited",
        "no executor",
        "rlvr[slurm]",
    ),
    "no pyarrow": ("hub", {"hub": HubCache("/hub", 0, "")}, "limited", "no pyarrow", "rlvr[hub]"),
    "a full disk": (
        "disk, results",
        {"disks": (Disk("results", "results", SMALLEST_DISK - 1, True),)},
        "missing",
        "GB free in results",
        "the least",
    ),
    "a read-only folder": (
        "disk, results",
        {"disks": (Disk("results", "results", 10**12, False),)},
        "missing",
        "cannot be written",
        "owner",
    ),
    "a read-only hub cache": (
        "disk, hub cache",
        {"disks": (Disk("hub cache", "/hub", 10**12, False),)},
        "limited",
        "cannot be written",
        "owner",
    ),
}


@pytest.mark.parametrize(("subject", "lack", "state", "found", "fix"), LACKING.values(), ids=LACKING)
def test_what_is_missing_is_named_with_its_remedy(subject, lack, state, found, fix):
    checked = of(replace(EQUIPPED, **lack), subject)
    assert checked.state == state
    assert found in checked.found
    assert fix in checked.fix


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A machine whose only programs are those that a test writes."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CUDA_VISIBLE_DEVICES", "RLVR_GPUS", "SLURM_JOB_ID", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(variable, raising=False)

    def write(name, *lines):
        (tmp_path / name).write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        (tmp_path / name).chmod(0o755)

    return write


def examined(tmp_path, monkeypatch):
    """The machine without a look at the sandbox, which costs a second and does not depend on PATH."""
    monkeypatch.setattr(probes, "isolation", lambda: EQUIPPED.isolation)
    return probes.examine(tmp_path / "results" / "name")


def test_gpus_and_slurm_are_found_by_their_programs(programs, tmp_path, monkeypatch):
    programs(
        "nvidia-smi",
        'case "$1" in',
        '*=name,*) echo "NVIDIA H100 80GB HBM3, 81559 MiB";;',
        '*=index,*) echo "0, GPU-aaaa-1";;',
        '*=gpu_uuid,*) echo "GPU-aaaa-1, 999999999";;',
        "esac",
    )
    programs("sbatch")
    programs("squeue", "echo slurm_load_jobs error: Unable to contact slurm controller >&2", "exit 1")
    found = examined(tmp_path, monkeypatch)
    assert found.gpus == Gpus((H100,), usable=1, busy=1, problem="")
    assert found.slurm.commands == ("sbatch", "squeue")
    assert not found.slurm.answers
    assert "Unable to contact" in found.slurm.answer
    assert {disk.writable for disk in found.disks} == {True}


def test_gpus_withheld_or_misnamed_are_problems_in_words(programs, tmp_path, monkeypatch):
    programs("nvidia-smi", 'case "$1" in *=index,*) echo "0, GPU-aaaa-1";; esac')
    monkeypatch.setenv("RLVR_GPUS", "7")
    assert "names GPU 7" in examined(tmp_path, monkeypatch).gpus.problem
    monkeypatch.delenv("RLVR_GPUS")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "the scheduler gave this job none" in examined(tmp_path, monkeypatch).gpus.problem


def test_a_gpu_build_of_torch_that_cannot_compute_says_why(programs, tmp_path, monkeypatch):
    programs("nvidia-smi", 'case "$1" in *=index,*) echo "0, GPU-aaaa-1";; esac')
    monkeypatch.setattr(probes, "_torch_cuda", lambda: "13.0")
    monkeypatch.setattr(probes, "_CUDA_TRIAL", "raise RuntimeError('the driver is too old')")
    assert examined(tmp_path, monkeypatch).cuda_error == "RuntimeError: the driver is too old"


def test_required_packages_are_those_installed_here():
    packages = {package.name: package for package in probes.required_packages()}
    assert packages["torch"].required == "==2.13.0"
    assert packages["torch"].fits
    assert "pyarrow" not in packages  # of an extra


def test_a_missing_piece_stops_every_study(monkeypatch, capsys):
    monkeypatch.setattr("rlvr.doctor.cli.examine", lambda results: replace(EQUIPPED, python=(3, 10, 0)))
    assert run(Namespace()) == 1
    assert "before this is mended: Python" in capsys.readouterr().out
    monkeypatch.setattr("rlvr.doctor.cli.examine", lambda results: replace(EQUIPPED, gpus=CPU_ONLY))
    assert run(Namespace()) == 0


def test_long_lines_are_wrapped_under_their_text():
    shown = line(of(replace(EQUIPPED, isolation="x " * 100), "sandbox"))
    assert max(map(len, shown.splitlines())) <= 110
    assert all(text.startswith(" " * 31) for text in shown.splitlines()[1:])


def test_command_without_torch():
    program = (
        "import sys; from rlvr.__main__ import main; status = main(['doctor']); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    environment = os.environ | {"PATH": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for subject in ("Python", "torch", "GPUs", "vLLM", "sandbox", "SLURM", "hub", "disk"):
        assert f" {subject}" in done.stdout
