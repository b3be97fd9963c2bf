"""GPUs of one machine: distinct for every job, free again whatever ends a job, and who holds them is said."""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from rlvr import leases
from rlvr.errors import UserError
from rlvr.leases import lease_gpus

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "RLVR_GPUS",
    "SLURM_JOB_ID",
    "SLURM_STEP_GPUS",
)

# A job of so many GPUs that fails if it meets another on one of them, works a while, and is killed by chance.
# The witnesses are sockets that only one process can have, so that the kernel frees them too.
JOB = """
import os, random, socket, sys, time
from rlvr import leases
witnesses, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
leases.POLL_SECONDS = 0.02
chance = random.Random(seed)
with leases.lease_gpus(count, f"job{seed}"):
    names = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    assert len(set(names)) == count
    sockets = [socket.socket(socket.AF_UNIX) for _ in names]
    for name, own in zip(names, sockets):
        deadline = time.monotonic() + 0.05  # a killed one's lock may go a moment before its socket
        while True:
            try:
                own.bind(f"\\0{witnesses}/{name}")
                break
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit(f"two jobs on GPU {name}")
    time.sleep(chance.uniform(0.1, 0.2))
    if chance.random() < 0.3:
        os.kill(os.getpid(), 9)
    for own in sockets:
        own.close()
"""

HOLDER = """
import sys
from rlvr.leases import lease_gpus
lease_gpus(int(sys.argv[1]), "train.log")
print("held", flush=True)
sys.stdin.read()
"""

SMI = """#!{python}
import sys
if "--query-gpu=index,uuid" in sys.argv:
    print("0, GPU-aaaa-1\\n1, GPU-bbbb-2\\n2, GPU-cccc-3")
elif "--query-compute-apps=gpu_uuid,pid" in sys.argv:
    print({apps!r}, end="")
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Locks of its own, no nvidia-smi, no scheduler."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("RLVR_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.02)
    return tmp_path


def nvidia_smi(machine, apps=""):
    """A machine of three GPUs, with these rows of compute processes."""
    program = machine / "bin" / "nvidia-smi"
    program.write_text(SMI.format(python=sys.executable, apps=apps))
    program.chmod(0o755)


def visible():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_fifty_jobs_never_share_a_gpu(machine, monkeypatch):
    """Of one to three GPUs each, on four. Many end by SIGKILL, while they hold GPUs or wait for them."""
    monkeypatch.setenv("RLVR_GPUS", "0,1,2,3")
    chance = random.Random(0)
    jobs = [
        subprocess.Popen([sys.executable, "-c", JOB, str(machine), str(chance.randint(1, 3)), str(seed)])
        for seed in range(50)
    ]
    for victim in chance.sample(jobs, 10):
        time.sleep(0.2)
        victim.kill()
    statuses = [job.wait(120) for job in jobs]
    assert set(statuses) == {0, -signal.SIGKILL}
    assert statuses.count(0) > 20
    with lease_gpus(4):
        assert visible() == "0,1,2,3"


def holder(count=1):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_killed_holder_frees_its_gpu_at_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("RLVR_GPUS", "a,b")
    first, second = holder(), holder()
    waits = []

    def kill_first(seconds):
        waits.append(seconds)
        first.kill()
        first.wait()

    monkeypatch.setattr(time, "sleep", kill_first)
    with lease_gpus(1):
        assert visible() == "a"
    assert len(waits) == 1
    assert (
        f"waiting for 1 free GPUs of 2: a is held by process {first.pid} (train.log); b is held"
        in caplog.text
    )
    assert f"process {second.pid} (train.log)" in caplog.text
    second.kill()
    second.communicate()


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    with lease_gpus(2) as lease:
        assert visible() == "2,5"
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        assert [gpu.name for gpu in lease.gpus] == ["2", "5"]
    assert visible() == "2,5,7"
    assert "CUDA_DEVICE_ORDER" not in os.environ


def test_no_gpu_asked_for_changes_nothing(machine):
    with lease_gpus(0):
        assert visible() is None
    assert not (machine / "locks").exists()


def test_too_few_for_one_job_is_said_at_once(machine, monkeypatch):
    with pytest.raises(UserError, match=r"asks for 1 GPUs, but there are 0 for it \(none; as nvidia-smi"):
        lease_gpus(1)
    nvidia_smi(machine)
    with pytest.raises(
        UserError, match=r"asks for 4 GPUs, but there are 3 for it \(0, 1, 2; .* lower gpu in"
    ):
        lease_gpus(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,-1,0")
    with pytest.raises(UserError, match=r"there are 1 for it \(1;"):
        lease_gpus(2)


def test_names_of_any_kind_mean_the_same_gpu(machine, monkeypatch):
    nvidia_smi(machine)
    with lease_gpus(1):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa,0,2")
        with lease_gpus(1):
            assert visible() == "2"
    monkeypatch.setenv("RLVR_GPUS", "1,2")
    with lease_gpus(1):
        assert visible() == "1"


def test_a_gpu_that_is_not_there_is_refused(machine, monkeypatch):
    nvidia_smi(machine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    with pytest.raises(UserError, match=r"names GPU 3, but nvidia-smi lists 0 \(GPU-aaaa-1\)"):
        lease_gpus(1)


def test_a_gpu_that_others_compute_on_is_passed_over(machine, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    nvidia_smi(machine, apps=f"GPU-aaaa-1, {os.getpid()}\nGPU-bbbb-2, 999999999\n")
    with lease_gpus(1):
        assert visible() == "2"

    def they_end(_):
        nvidia_smi(machine)

    # Of this module alone: `subprocess` too sleeps while it waits for nvidia-smi.
    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=they_end, monotonic=time.monotonic))
    with lease_gpus(3):
        assert visible() == "0,1,2"
    assert f"0 is used by process {os.getpid()} (user " in caplog.text
    assert "1 is used by process 999999999 (user unknown), which is no job of this workflow" in caplog.text


def test_a_driver_that_fails_is_said(machine, caplog):
    program = machine / "bin" / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nprint('NVIDIA-SMI has failed')\nraise SystemExit(9)\n")
    program.chmod(0o755)
    with pytest.raises(UserError, match="there are 0 for it"):
        lease_gpus(1)
    assert "NVIDIA-SMI has failed" in caplog.text


def test_what_a_scheduler_gave_is_kept(machine, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_STEP_GPUS", "4")
    with lease_gpus(1):
        assert visible() is None
    assert "GPUs given by the scheduler: 4" in caplog.text
    assert not (machine / "locks").exists()
    monkeypatch.delenv("SLURM_STEP_GPUS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with lease_gpus(2):
        assert visible() == "4,5"


def test_fewer_than_asked_for_from_a_scheduler_are_said(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UserError, match=r"asks for 8 GPUs, but there are 1 for it \(0;"):
        lease_gpus(8)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CUDA_VISIBLE_DEVICES", ""),
        ("CUDA_VISIBLE_DEVICES", "-1"),
        ("CUDA_VISIBLE_DEVICES", "NoDevFiles"),
        ("SLURM_STEP_GPUS", ""),
    ],
)
@pytest.mark.parametrize("pool", [{}, {"RLVR_GPUS": "0,1"}])
def test_a_scheduler_that_gave_none_is_named(machine, monkeypatch, variable, value, pool):
    """Not even the GPUs of the machine are taken, which may be those of others."""
    nvidia_smi(machine)
    for name, setting in {"SLURM_JOB_ID": "12", variable: value, **pool}.items():
        monkeypatch.setenv(name, setting)
    with pytest.raises(
        UserError, match="asks for 2 GPUs, but the scheduler gave SLURM job 12 none"
    ) as caught:
        lease_gpus(2)
    assert f"({variable}={value}): ask it for them (--gpus=2" in str(caught.value)
    with lease_gpus(0):
        assert os.environ[variable] == value


def test_devices_that_cuda_is_not_shown_are_not_given(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_STEP_GPUS", "4")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"gave SLURM job 12 none \(CUDA_VISIBLE_DEVICES=\)"):
        lease_gpus(1)


def test_no_devices_outside_of_a_scheduler_are_too_few(machine, monkeypatch):
    nvidia_smi(machine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"asks for 1 GPUs, but there are 0 for it \(none;"):
        lease_gpus(1)


def test_jobs_that_each_ask_for_a_whole_allocation_take_turns(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    first = lease_gpus(2)

    def it_ends(_):
        first.release()

    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=it_ends, monotonic=time.monotonic))
    with lease_gpus(2):
        assert first.gpus == () and visible() == "0,1"


def test_jobs_that_share_an_allocation_share_out_its_gpus(monkeypatch):
    """As those of a group do; another allocation's GPU 0 is another one."""
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    first = lease_gpus(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with lease_gpus(1):
        assert visible() == "1"
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    with lease_gpus(1):
        assert visible() == "0"
    first.release()


def test_a_lease_after_cuda_has_started_is_refused(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("RLVR_GPUS", "0")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="before CUDA starts"):
        lease_gpus(1)
