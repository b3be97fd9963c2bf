"""The precision study through a real SLURM, with jobs cancelled, timed out, killed and lost on the way."""

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from project_copy import Project, copy_project, uncommented
from slurm_cluster import (
    SlurmJob,
    Workflow,
    fact,
    jobs,
    lose_the_node,
    slurm,
    start,
    wait_until_ended,
    work_of,
)

CONFIG = ("--configfile", "config/small.yaml")
# Looks often, since the jobs are short; the profile is right for a cluster.
SOON = (
    "--cores",
    "2",
    "--group-components",
    "evaluation=4",
    "--slurm-init-seconds-before-status-checks",
    "2",
)
STUDY = ("precision", "--profile", "profiles/slurm", *CONFIG, *SOON)
# Enough, then too little for torch, then enough again.
SHORT_OF_MEMORY = ("--set-resources", "train_policy:mem_mb=250 if attempt == 2 else 1500")
PROVENANCE = [
    f"results/small/precision/train/{mode}/seed{seed}/rep1/provenance.json"
    for mode in ("fp32", "bf16")
    for seed in (1, 2)
]
LOCAL = (*PROVENANCE, "--cores", "2", *CONFIG, "--config", "resources={train_policy: {gpu: 0}}")
Run = tuple[str, int]


@dataclass
class Seen:
    """Jobs and output of the two halves of the study, before and after Snakemake itself is killed.

    Two jobs outlive Snakemake: the `finisher` finishes, the `orphan` meets its double. `local`: the same
    training without SLURM.
    """

    timed_out: SlurmJob
    cancelled: SlurmJob
    orphan: SlurmJob
    finisher: SlurmJob
    local: Workflow
    locked: str = ""
    first: str = ""
    second: str = ""


def small_study(project: Project) -> None:
    """The study, and the profile with short evaluations in groups of four."""
    profile = project.folder / "profiles/slurm/config.yaml"
    settings, _, groups = profile.read_text().rpartition("groups:")
    profile.write_text(settings + "groups:" + uncommented(groups))
    config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text())
    config["name"] = "small"
    config["precision"]["training"]["steps"] = 30
    config["precision"]["evaluation"]["suites"] = {"families": ["add", "sub", "rev"]}
    tasks = ("add", "sub", "rev")
    sources = {task: {"kind": "synthetic", "family": task, "split": "held_out"} for task in tasks}
    rows = {"template": "plain", "verifier": "exact"}
    config["data"] = {"evaluation": {task: {"source": sources[task], **rows} for task in tasks}}
    config["resources"] = {"train_policy": {"mem_mb": 1500, "runtime": 1, "gpu": 1}}
    (project.folder / "config/small.yaml").write_text(yaml.safe_dump(config))


def training(run: Run) -> list[SlurmJob]:
    """The SLURM jobs of a training run, oldest first."""
    return jobs(f"train_policy_wildcards_{run[0]}_{run[1]}_1")


def log_of(project: Project, run: Run) -> str:
    return (project.folder / f"results/small/logs/train_policy/{run[0]}/seed{run[1]}/rep1.log").read_text()


def hold(project: Project, workflow: Workflow, *runs: Run) -> list[SlurmJob]:
    """Stop the training runs by SIGSTOP once each has a checkpoint."""
    held: dict[Run, SlurmJob] = {}

    def hold_next() -> bool:
        for mode, seed in set(runs) - set(held):
            folder = project.folder / f"results/small/checkpoints/train_policy/{mode}/seed{seed}/rep1"
            if list(folder.glob("step*/facts.json")):
                held[mode, seed] = training((mode, seed))[-1]
                for process in work_of(held[mode, seed], "train_policy.py"):
                    process.send_signal(signal.SIGSTOP)
        return len(held) == len(runs)

    workflow.wait_for("checkpoints of all runs to hold", hold_next)
    return [held[run] for run in runs]


def until_snakemake_is_killed(project: Project, here: Project, logs: Path) -> Seen:
    """A job over its time, a cancelled one, and one that outlives Snakemake."""
    with (logs / "first.txt").open("w") as output, (logs / "local.txt").open("w") as local_output:
        workflow = start(project, output, *STUDY)
        held = hold(project, workflow, ("fp32", 1), ("fp32", 2), ("bf16", 1), ("bf16", 2))
        seen = Seen(*held, start(here, local_output, *LOCAL))
        for job in (seen.orphan, seen.finisher):
            slurm("scontrol", "update", f"jobid={job.id}", "timelimit=30")
        slurm("scancel", seen.cancelled.id)
        finished = re.compile(r"Finished jobid: \d+ \(Rule: train_policy\)")
        workflow.wait_for("the other training runs", lambda: len(finished.findall(workflow.said())) == 2)
        workflow.process.kill()
        workflow.process.wait()
    for process in work_of(seen.finisher, "train_policy.py"):
        process.send_signal(signal.SIGCONT)
    seen.first = workflow.said()
    return seen


def after_the_kill(project: Project, seen: Seen, log: Path) -> None:
    """What docs/cluster.md says to do, but for one orphan, which meets its double."""
    for job in jobs(states="PENDING,RUNNING"):
        if job.id not in (seen.orphan.id, seen.finisher.id):
            slurm("scancel", job.id)
    wait_until_ended(seen.finisher)
    seen.locked = project.snakemake(*STUDY).stdout
    assert project.snakemake("--unlock", *CONFIG).returncode == 0
    with log.open("w") as output:
        # By default SLURM queues the jobs of a lost node again, and starts them two minutes later.
        workflow = start(project, output, *STUDY, *SHORT_OF_MEMORY, "--slurm-no-requeue")
        workflow.wait_for("the double is refused", lambda: "is in use by" in workflow.said())
        slurm("scancel", seen.orphan.id)
        workflow.wait_for("an evaluation runs", lambda: jobs("evaluation", "RUNNING"))
        lose_the_node()
        seen.second = workflow.end()


@pytest.fixture(scope="module")
def seen(project: Project, tmp_path_factory) -> Seen:
    here = copy_project(tmp_path_factory.mktemp("local"))
    small_study(project)
    small_study(here)
    logs = tmp_path_factory.mktemp("said")
    seen = until_snakemake_is_killed(project, here, logs)
    after_the_kill(project, seen, logs / "second.txt")
    return seen


def test_a_job_over_its_time_goes_on_in_a_new_job_with_more(project, seen):
    first, second = training(("fp32", 1))
    assert (first.id, first.state, second.state) == (seen.timed_out.id, "TIMEOUT", "COMPLETED")
    assert [fact(job, "TimeLimit") for job in (first, second)] == ["00:01:00", "00:02:00"]
    assert [fact(job, "MinMemoryNode") for job in (first, second)] == ["1500M", "3000M"]
    assert f"SLURM-job '{first.id}' failed, SLURM status is: 'TIMEOUT'" in seen.first
    assert "ended by SIGTERM after step" in seen.first
    assert "resuming from" in log_of(project, ("fp32", 1))


def test_a_cancelled_job_goes_on_in_a_new_job(project, seen):
    first, second = training(("fp32", 2))
    assert (first.id, first.state, second.state) == (seen.cancelled.id, "CANCELLED", "COMPLETED")
    assert "resuming from" in log_of(project, ("fp32", 2))


def test_gpus_reach_the_job(project, seen):
    assert fact(training(("bf16", 2))[0], "TresPerJob").endswith("gpu:1")
    assert re.search(r"leased GPU \d", log_of(project, ("bf16", 2)))


def test_after_a_kill_of_snakemake_the_folder_is_locked(seen):
    assert "Directory cannot be locked" in seen.locked
    assert "--unlock" in seen.locked


def test_the_double_of_an_orphan_is_refused_then_short_of_memory_then_goes_on(project, seen):
    orphan, double, short, last = training(("bf16", 1))
    assert orphan.id == seen.orphan.id
    assert [job.state for job in (orphan, double, short, last)] == [
        "CANCELLED",
        "FAILED",
        "FAILED",
        "COMPLETED",
    ]
    assert f"scancel {orphan.id}" in seen.second
    log = project.folder / f"results/slurm_logs/rule_train_policy/bf16_1_1/{short.id}.log"
    assert re.search(r"[Ee]xceeded.*memory limit", log.read_text())
    assert "resuming from" in log_of(project, ("bf16", 1))


def test_what_finishes_without_snakemake_is_not_done_again(project, seen):
    [only] = training(("bf16", 2))
    assert (only.id, only.state) == (seen.finisher.id, "COMPLETED")
    assert "step 30/30" in log_of(project, ("bf16", 2))


def test_a_lost_node_is_named_and_its_jobs_run_again(project, seen):
    lost = [job for job in jobs() if job.state == "NODE_FAIL"]
    logs = project.folder / "results/slurm_logs/group_evaluation_evaluate_policy"
    assert lost
    for job in lost:
        assert jobs(job.rule.removeprefix("rule_"))[-1].state == "COMPLETED"
        # Snakemake does not say why the job of a group failed, SLURM does.
        in_group = job.rule.startswith("rule_evaluation")
        said = (logs / f"{job.id}.log").read_text() if in_group else seen.second
        assert "node failure" in said.lower()


def test_a_run_through_slurm_ends_with_the_weights_of_a_local_one(project, seen):
    assert (project.folder / "results/small/report.html").stat().st_size
    seen.local.end()
    folders = (project.folder, seen.local.folder)
    for path in PROVENANCE:
        slurm_run, local_run = (json.loads((folder / path).read_text()) for folder in folders)
        assert slurm_run["weight_hash"] == local_run["weight_hash"], path
