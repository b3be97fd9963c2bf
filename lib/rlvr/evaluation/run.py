"""Evaluate one policy on one suite of tasks (rules evaluate_base, evaluate_policy, evaluate_external)."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.build import build
from rlvr.data.prepare import read_problems
from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.devices import describe_device, resolve_device
from rlvr.diagnostics.sparsity import relative_change, update_sparsity
from rlvr.errors import UserError
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.kl import measure_kl, summarise_kl
from rlvr.evaluation.records import KlResult, RunLabel, SnapshotKl, SuiteResult, TaskResult, WeightChange
from rlvr.evaluation.sampling import (
    choose_problems,
    sample_records,
    sampling_params,
    stream_of,
    summarise,
)
from rlvr.files import write_jsonl
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.weights import weight_hash
from rlvr.precision import torch_dtype
from rlvr.provenance import environment, hash_inputs, resume_identity
from rlvr.rollout.batched import BatchedEngine
from rlvr.rollout.engine import GenerationRequest, RolloutEngine, SamplingParams
from rlvr.rollout.judged import draw_rollouts, judge_rollouts
from rlvr.rollout.opening import open_engine
from rlvr.sources import code_digest
from rlvr.training.checkpoint import clear_checkpoints, load_checkpoint, only_process, save_checkpoint
from rlvr.verify.registry import Judge, describe_isolation

logger = logging.getLogger(__name__)

# Tasks of seconds need no checkpoint of their own.
CHECKPOINT_SECONDS = 60.0


@dataclass
class Findings:
    """What has been found so far, as plain records: all of it is in a checkpoint."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    kl: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    kl_samples: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"rollout": 0.0, "verify": 0.0, "kl": 0.0})


def _require_same_shapes(policy: nn.Module, base: nn.Module, files: EvaluationFiles) -> None:
    """UserError unless both have the same weights by name and shape: KL and sparsity compare them."""
    ours, theirs = ({name: p.shape for name, p in model.named_parameters()} for model in (policy, base))
    if ours != theirs:
        names = sorted({name for name, _ in ours.items() ^ theirs.items()})
        raise UserError(
            f"{files.policy} cannot be compared with the base {files.base}: {len(names)} weights differ in "
            f"name or shape, first {names[0]}; a policy must be trained from the study's base model"
        )


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] += time.perf_counter() - started


class Evaluation:
    """One job's models, engine and streams."""

    def __init__(self, job: EvaluationJob, files: EvaluationFiles):
        self.job = job
        configure_arithmetic(job.compute_threads, deterministic=True, seed=job.evaluation_seed)
        self.device = resolve_device(job.device)
        self.tokenizer = load_tokenizer(files.policy)
        self.policy = self._load(files.policy)
        self.base = self._load(files.base) if files.base else None
        if self.base is not None:
            _require_same_shapes(self.policy, self.base, files)

    def _load(self, path: str) -> nn.Module:
        dtype = torch_dtype(self.job.dtype)
        return load_policy(path, dtype, dtype, device=self.device)

    def stream(self, task: str, purpose: str) -> int:
        """Seed of the samples of a task: apart per run, so that runs are independent given their weights."""
        job = self.job
        return stream_of(job.evaluation_seed, job.arm, job.seed, job.rep, task, purpose)

    def evaluate_task(
        self, task: str, problems: list[Problem], engine: RolloutEngine, judge: Judge, findings: Findings
    ) -> None:
        """Sample, judge and summarise one task; with a base also its KL; append to `findings`."""
        job, config = self.job, self.job.tasks[task]
        samples = config.samples * job.samples_factor
        template = job.templates[task]
        chosen = choose_problems(problems, config.rows, job.evaluation_seed)
        params = sampling_params(config, job.temperature, job.top_p)
        # Every row, not only the chosen ones: that all of them can be prompted is part of what is reported.
        requests = [GenerationRequest(p.id, apply_template(template, p), 0) for p in problems]
        longest = engine.check_prompts(requests, config.max_tokens)
        logger.info("%s: all %d prompts fit, the longest has %d tokens", task, len(problems), longest)
        with _timed(findings.seconds, "rollout"):
            rollouts = draw_rollouts(chosen, template, samples, params, engine, self.stream(task, "accuracy"))
        with _timed(findings.seconds, "verify"):
            verdicts = judge_rollouts(rollouts, chosen, template, samples, judge)
        result = summarise(task, chosen, samples, rollouts, verdicts, config.pass_at)
        findings.tasks.append(asdict(result))
        findings.samples += sample_records(task, rollouts, verdicts)
        logger.info(
            "%s: accuracy %.4f of %d problems × %d samples", task, result.accuracy, len(chosen), samples
        )
        if job.kl is not None:
            with _timed(findings.seconds, "kl"):
                result, records = self.measure(task, problems, self.policy, engine, "kl")
            findings.kl.append(asdict(result))
            findings.kl_samples += records
            logger.info("%s: KL to the base %.4f nats a response", task, result.full)

    def measure(
        self, task: str, problems: list[Problem], policy: nn.Module, engine: RolloutEngine, purpose: str
    ) -> tuple[KlResult, list[dict[str, Any]]]:
        """KL of `policy`, from which `engine` samples, to the base on one task, and a record per response."""
        job, config = self.job, self.job.tasks[task]
        samples = job.kl.samples
        scored = choose_problems(problems, config.rows, job.evaluation_seed)
        chosen = choose_problems(scored, job.kl.problems, job.evaluation_seed + 1)
        params = SamplingParams(max_tokens=config.max_tokens, stop=config.stop)
        rollouts = draw_rollouts(
            chosen, job.templates[task], samples, params, engine, self.stream(task, purpose)
        )
        divergences = measure_kl(
            policy, self.base, rollouts, self.tokenizer.pad_token_id, len(self.tokenizer), self.device
        )
        records = [
            {
                "task": task,
                "problem": rollout.prompt_id,
                "sample": rollout.sample,
                "response": rollout.text,
                "tokens": len(rollout.token_ids),
                **asdict(divergence),
            }
            for rollout, divergence in zip(rollouts, divergences, strict=True)
        ]
        return summarise_kl(task, samples, rollouts, divergences), records

    def open(self, policy: nn.Module) -> BatchedEngine:
        """An engine that samples from the policy's own weights."""
        rows = self.job.max_batch_rows
        dtype = torch_dtype(self.job.dtype)
        return open_engine(policy, self.tokenizer, dtype, rows, self.device, share_weights=True)

    def drift(self, snapshots: Path, problems: dict[str, list[Problem]]) -> Iterator[SnapshotKl]:
        """KL to the base of every snapshot before the last step, on every task."""
        steps = sorted(int(folder.name.removeprefix("step")) for folder in snapshots.glob("step*"))
        for step in steps:
            if step == self.job.steps:  # the policy itself, which has been measured
                continue
            policy = self._load(str(snapshots / f"step{step}"))
            with self.open(policy) as engine:
                for task, own in problems.items():
                    result, _ = self.measure(task, own, policy, engine, f"kl of step {step}")
                    yield SnapshotKl(step, result)

    def weight_change(self) -> WeightChange | None:
        """Sparsity and relative change against the base; None for the base itself."""
        if self.base is None:
            return None
        before = {name: p.detach() for name, p in self.base.named_parameters()}
        after = {name: p.detach() for name, p in self.policy.named_parameters()}
        return WeightChange(
            sparsity=update_sparsity(before, after, self.job.sparsity_eta),
            eta=self.job.sparsity_eta,
            weights=sum(tensor.numel() for tensor in after.values()),
            relative_change=relative_change(before, after),
        )


def _inputs(job: EvaluationJob, files: EvaluationFiles) -> dict[str, str]:
    policies = {"policy": files.policy} | ({"base": files.base} if files.base else {})
    return hash_inputs(policies | dict(zip(job.tasks, files.problems, strict=True)))


def evaluate_policy(job: EvaluationJob, files: EvaluationFiles, verification_workers: int = 1) -> None:
    """Evaluate every task of the suite and write the results; resume after the last finished task."""
    with only_process(files.checkpoints):
        _evaluate(job, files, verification_workers)


def _sample_tasks(
    evaluation: Evaluation,
    files: EvaluationFiles,
    problems: dict[str, list[Problem]],
    identity: str,
    verification_workers: int,
) -> Findings:
    """Everything that is sampled from the policy itself, from a checkpoint on where there is one."""
    saved = load_checkpoint(files.checkpoints, identity)
    findings = Findings(**saved[1]) if saved else Findings()
    done = {record["task"] for record in findings.tasks}
    saved_at = time.monotonic()
    with (
        evaluation.open(evaluation.policy) as engine,
        Judge(verification_workers, evaluation.job.verification) as judge,
    ):
        for number, (task, own) in enumerate(problems.items(), 1):
            if task not in done:
                evaluation.evaluate_task(task, own, engine, judge, findings)
                if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    save_checkpoint(files.checkpoints, number, asdict(findings), identity)
                    saved_at = time.monotonic()
    return findings


def _measure_drift(
    evaluation: Evaluation, files: EvaluationFiles, problems: dict[str, list[Problem]], findings: Findings
) -> tuple[SnapshotKl, ...]:
    """KL along the training: at the snapshots, and at the last step, where it is known already."""
    if files.snapshots is None:
        return ()
    with _timed(findings.seconds, "kl"):
        snapshots = list(evaluation.drift(Path(files.snapshots), problems))
    last = [SnapshotKl(evaluation.job.steps, build(KlResult, record)) for record in findings.kl]
    return (*snapshots, *last)


def _evaluate(job: EvaluationJob, files: EvaluationFiles, verification_workers: int) -> None:
    evaluation = Evaluation(job, files)
    inputs = _inputs(job, files)
    identity = resume_identity(job, inputs, __file__, describe_device(evaluation.device))
    problems = {task: read_problems(path) for task, path in zip(job.tasks, files.problems, strict=True)}
    findings = _sample_tasks(evaluation, files, problems, identity, verification_workers)
    result = SuiteResult(
        run=RunLabel(job.arm, job.seed, job.rep),
        suite=job.suite,
        weight_hash=weight_hash(evaluation.policy.named_parameters()),
        tasks=tuple(build(TaskResult, record) for record in findings.tasks),
        kl=tuple(build(KlResult, record) for record in findings.kl),
        weight_change=evaluation.weight_change(),
        drift=_measure_drift(evaluation, files, problems, findings),
        seconds=findings.seconds,
        provenance={
            "code_digest": code_digest(__file__),
            "inputs": inputs,
            **environment(),
            "device": describe_device(evaluation.device),
            "dtype": job.dtype,
            "threads": job.compute_threads,
            "isolation": describe_isolation(problem for own in problems.values() for problem in own),
        },
    )
    write_jsonl(files.samples, findings.samples)
    if files.kl is not None:
        write_jsonl(files.kl, findings.kl_samples)
    result.write(files.result)
    clear_checkpoints(files.checkpoints)
