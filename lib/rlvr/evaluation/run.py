"""Evaluate one policy on one suite of tasks (rules evaluate_base, evaluate_policy, evaluate_external)."""

import time
from collections.abc import Callable
from pathlib import Path

from rlvr.config.build import build
from rlvr.data.problem import Problem, read_problems
from rlvr.devices import arithmetic_identity, describe_device
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.measurement import Evaluation, Findings, Session
from rlvr.evaluation.records import KlResult, RunLabel, Snapshot, SuiteResult, TaskResult
from rlvr.files import write_jsonl
from rlvr.models.weights import weight_hash
from rlvr.provenance import environment, hash_inputs, resume_identity, sha256_path
from rlvr.sigterm import Request, end_after, noted_sigterm
from rlvr.sources import code_digest
from rlvr.training.checkpoint import load_checkpoint, save_checkpoint
from rlvr.training.completion import is_orphan, release_checkpoints
from rlvr.training.owner import only_process
from rlvr.verify.registry import Judge, describe_isolation

# Batches of seconds need no checkpoint of their own.
CHECKPOINT_SECONDS = 60.0

TaskProblems = dict[str, list[Problem]]


def _inputs(job: EvaluationJob, files: EvaluationFiles) -> dict[str, str]:
    named = {"policy": files.policy, "base": files.base, "snapshots": files.snapshots}
    policies = {name: path for name, path in named.items() if path is not None}
    return hash_inputs(policies | dict(zip(job.tasks, files.problems, strict=True)))


def evaluate_policy(
    job: EvaluationJob, files: EvaluationFiles, verification_workers: int = 1, code: str | None = None
) -> None:
    """Evaluate every task of the suite and write the results; resume after the last finished batch.

    `code`: digest of the code that is run, for resume and provenance; computed here (0.7 s) if not known.
    """
    with only_process(files.checkpoints):
        _evaluate(job, files, verification_workers, code or code_digest(__file__))


def _checkpointing(folder: str, findings: Findings, identity: str, sigterm: Request) -> Callable[[], None]:
    """A function that saves the findings if the last time was long ago; after a SIGTERM it ends the job."""
    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        ends = sigterm.came
        if ends or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            save_checkpoint(folder, findings.drawn, vars(findings), identity)
            saved_at = time.monotonic()
        if ends:
            end_after(f"{len(findings.tasks)} measured tasks, {findings.drawn} responses in all")

    return save


def _sample_policy(
    evaluation: Evaluation, problems: TaskProblems, judge: Judge, findings: Findings, save: Callable[[], None]
) -> None:
    """Everything that is sampled from the policy itself and is not in `findings` yet."""
    done = {record["task"] for record in findings.tasks}
    with evaluation.open() as engine:
        for task, own in problems.items():
            if task not in done:
                evaluation.evaluate_task(task, own, Session(engine, judge, findings, save))
                save()


def _sample_snapshots(
    evaluation: Evaluation,
    folder: Path,
    problems: TaskProblems,
    judge: Judge,
    findings: Findings,
    save: Callable[[], None],
) -> None:
    """Everything that is sampled from the snapshots before the last step and is not in `findings` yet.

    The policy has a snapshot's weights afterwards.
    """
    done = {(record["step"], record["scored"]["task"]) for record in findings.drift}
    for step in sorted(int(snapshot.name.removeprefix("step")) for snapshot in folder.glob("step*")):
        # The last step is the policy itself, whose records are there already.
        left = {task: own for task, own in problems.items() if (step, task) not in done}
        if not left or step == evaluation.job.steps:
            continue
        evaluation.become(str(folder / f"step{step}"))
        with evaluation.open() as engine:
            for task, own in left.items():
                evaluation.evaluate_snapshot(step, task, own, Session(engine, judge, findings, save))
                save()


def _evaluate(job: EvaluationJob, files: EvaluationFiles, verification_workers: int, code: str) -> None:
    evaluation = Evaluation(job, files)
    inputs = _inputs(job, files)
    identity = resume_identity(job, inputs, code, arithmetic_identity(evaluation.device, [job.dtype]))
    problems = {task: read_problems(path) for task, path in zip(job.tasks, files.problems, strict=True)}
    saved = load_checkpoint(files.checkpoints, identity)
    findings = Findings(**saved[1]) if saved else Findings()
    with Judge(verification_workers, job.verification) as judge, noted_sigterm() as sigterm:
        save = _checkpointing(files.checkpoints, findings, identity, sigterm)
        _sample_policy(evaluation, problems, judge, findings, save)
        policy_hash = weight_hash(evaluation.policy.named_parameters())
        if files.snapshots is not None:
            _sample_snapshots(evaluation, Path(files.snapshots), problems, judge, findings, save)
    if is_orphan():
        save_checkpoint(files.checkpoints, findings.drawn, vars(findings), identity)
    write_jsonl(files.samples, findings.samples)
    outputs = {"samples": files.samples}
    if files.kl is not None:
        write_jsonl(files.kl, findings.kl_samples)
        outputs["kl"] = files.kl
    drift = sorted(findings.drift, key=lambda record: record["step"])
    result = SuiteResult(
        run=RunLabel(job.arm, job.seed, job.rep),
        suite=job.suite,
        weight_hash=policy_hash,
        tasks=tuple(build(TaskResult, record) for record in findings.tasks),
        kl=tuple(build(KlResult, record) for record in findings.kl),
        weight_change=evaluation.weight_change(),
        drift=tuple(build(Snapshot, record) for record in drift),
        seconds=findings.seconds,
        provenance={
            "code_digest": code,
            "inputs": inputs,
            "outputs": {name: sha256_path(path) for name, path in outputs.items()},
            **environment(),
            "device": describe_device(evaluation.device),
            "dtypes": {"evaluation": job.dtype},
            "threads": job.compute_threads,
            "isolation": describe_isolation(problem for own in problems.values() for problem in own),
        },
    )
    result.write(files.result)
    release_checkpoints(files.checkpoints)
