"""What is sampled from a policy and measured on it, task by task."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from rlvr.arithmetic import configure_arithmetic
from rlvr.data.choice import choose_problems
from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.devices import check_dtypes, resolve_device
from rlvr.diagnostics.sparsity import update_sparsity
from rlvr.diagnostics.streaming import stream_tensors
from rlvr.errors import UserError
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.kl import measure_kl, summarise_kl
from rlvr.evaluation.records import KlResult, Snapshot, WeightChange
from rlvr.evaluation.sampling import (
    first_samples,
    sample_records,
    sampling_params,
    stream_of,
    summarise,
)
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.policy_model import PolicyModel
from rlvr.models.weights import copy_weights, read_weights
from rlvr.precision import torch_dtype
from rlvr.rollout.engine import GenerationRequest, Rollout, RolloutEngine, SamplingParams
from rlvr.rollout.judged import draw_rollouts, judge_rollouts
from rlvr.rollout.opening import open_engine
from rlvr.training.dtype_contract import require_dtypes
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Verdict

logger = logging.getLogger(__name__)


@dataclass
class Findings:
    """What has been found so far, as plain records: all of it is in a checkpoint.

    `unfinished`: of the sampling that is under way, see `Evaluation.sample`. `drawn`: responses in all.
    """

    tasks: list[dict[str, Any]] = field(default_factory=list)
    kl: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    kl_samples: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"rollout": 0.0, "verify": 0.0, "kl": 0.0})
    unfinished: dict[str, Any] = field(default_factory=dict)
    drawn: int = 0


@dataclass(frozen=True)
class Session:
    """What one policy is sampled with, and where it goes; `save` is called where the job may be cut off."""

    engine: RolloutEngine
    judge: Judge
    findings: Findings
    save: Callable[[], None]


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
        self.job, self.files = job, files
        configure_arithmetic(job.compute_threads, deterministic=True, seed=job.evaluation_seed)
        self.device = resolve_device(job.device)
        check_dtypes(self.device, [job.dtype])
        self.tokenizer = load_tokenizer(files.policy)
        self.policy = self.load(files.policy)
        self.base = self.load(files.base) if files.base else None
        if self.base is not None:
            _require_same_shapes(self.policy, self.base, files)

    def load(self, path: str) -> PolicyModel:
        """A policy in the dtype of the evaluation; DtypeMismatch if it has another."""
        dtype = torch_dtype(self.job.dtype)
        policy = load_policy(path, dtype, dtype, device=self.device)
        require_dtypes(path, "evaluation", self.job.dtype, policy.named_parameters())
        return policy

    def become(self, path: str) -> None:
        """Give the policy the weights of another folder, in place: a second one might not fit beside it."""
        copy_weights(read_weights(path), dict(self.policy.named_parameters()))

    def open(self) -> RolloutEngine:
        """An engine that samples from the policy's own weights; DtypeMismatch if they are not as told."""
        rows = self.job.max_batch_rows
        dtype = torch_dtype(self.job.dtype)
        engine = open_engine(
            self.policy,
            self.tokenizer,
            dtype,
            rows,
            self.device,
            share_weights=True,
            rollout=self.job.rollout,
            invariant=True,
        )
        require_dtypes("the engine", "evaluation", self.job.dtype, engine.named_weights())
        return engine

    def stream(self, task: str, purpose: str) -> int:
        """Seed of the samples of a task: apart per run, so that runs are independent given their weights."""
        job = self.job
        return stream_of(job.evaluation_seed, job.arm, job.seed, job.rep, task, purpose)

    def snapshot_samples(self, task: str) -> int:
        """Samples of each problem by which checkpoints of a run are compared with one another."""
        assert self.job.snapshot_samples is not None  # asked where there are snapshots
        return min(self.job.snapshot_samples, self.job.tasks[task].samples)

    def evaluate_task(self, task: str, problems: list[Problem], session: Session) -> None:
        """Sample, judge and summarise one task; with a base also its KL; append to the findings."""
        job, config, findings = self.job, self.job.tasks[task], session.findings
        samples = config.samples * job.samples_factor
        template = job.templates[task]
        chosen = choose_problems(problems, config.rows, job.evaluation_seed)
        # Every row, not only the chosen ones: that all of them can be prompted is part of what is reported.
        requests = [GenerationRequest(p.id, apply_template(template, p), 0) for p in problems]
        longest = session.engine.check_prompts(requests, config.max_tokens)
        logger.info("%s: all %d prompts fit, the longest has %d tokens", task, len(problems), longest)
        rollouts, verdicts = self.sample(task, chosen, samples, "accuracy", session)
        result = summarise(task, chosen, samples, rollouts, verdicts, config.pass_at)
        logger.info(
            "%s: accuracy %.4f of %d problems × %d samples", task, result.accuracy, len(chosen), samples
        )
        if job.kl is not None:
            kl, records = self.measure_kl(task, chosen, "kl", session)
            logger.info("%s: KL to the base %.4f nats a response", task, kl.full)
            findings.kl.append(asdict(kl))
            findings.kl_samples += records
            if job.steps is not None and job.snapshot_samples is not None:
                count = self.snapshot_samples(task)
                kept = first_samples(rollouts, samples, count), first_samples(verdicts, samples, count)
                scored = summarise(task, chosen, count, *kept, config.pass_at)
                findings.drift.append(asdict(Snapshot(job.steps, scored, kl)))
        findings.tasks.append(asdict(result))
        findings.samples += sample_records(task, rollouts, verdicts)
        findings.unfinished = {}

    def evaluate_snapshot(
        self,
        step: int,
        task: str,
        problems: list[Problem],
        session: Session,
    ) -> None:
        """Accuracy and KL of the policy, the run after `step` steps, on one task; append to the findings."""
        config, samples = self.job.tasks[task], self.snapshot_samples(task)
        chosen = choose_problems(problems, config.rows, self.job.evaluation_seed)
        purpose = f"accuracy of step {step}"
        rollouts, verdicts = self.sample(task, chosen, samples, purpose, session)
        scored = summarise(task, chosen, samples, rollouts, verdicts, config.pass_at)
        kl, _ = self.measure_kl(task, chosen, f"kl of step {step}", session)
        session.findings.drift.append(asdict(Snapshot(step, scored, kl)))
        session.findings.unfinished = {}
        logger.info("step %d, %s: accuracy %.4f, KL %.4f nats", step, task, scored.accuracy, kl.full)

    def sample(
        self,
        task: str,
        chosen: list[Problem],
        samples: int,
        purpose: str,
        session: Session,
    ) -> tuple[list[Rollout], list[Verdict]]:
        """`samples` responses to each problem, side by side, and their verdicts.

        Some batches of rows at a time, the same batches as all at once would be. What is drawn stands in the
        findings, and a job that was cut off goes on after it.
        """
        findings, config, template = session.findings, self.job.tasks[task], self.job.templates[task]
        params = sampling_params(config, self.job.temperature, self.job.top_p)
        stream, rows = self.stream(task, purpose), self.job.max_batch_rows
        if findings.unfinished.get("stream") != stream:
            findings.unfinished = {"stream": stream, "rollouts": [], "verdicts": []}
        kept = findings.unfinished
        at_a_time = rows // math.gcd(rows, samples)
        for start in range(len(kept["rollouts"]) // samples, len(chosen), at_a_time):
            part = chosen[start : start + at_a_time]
            with _timed(findings.seconds, "rollout"):
                rollouts = draw_rollouts(part, template, samples, params, session.engine, stream)
            with _timed(findings.seconds, "verify"):
                verdicts = judge_rollouts(rollouts, part, template, samples, session.judge)
            kept["rollouts"] += map(vars, rollouts)
            kept["verdicts"] += map(vars, verdicts)
            findings.drawn += len(rollouts)
            session.save()
        return [Rollout(**one) for one in kept["rollouts"]], [Verdict(**one) for one in kept["verdicts"]]

    def measure_kl(
        self,
        task: str,
        scored: list[Problem],
        purpose: str,
        session: Session,
    ) -> tuple[KlResult, list[dict[str, Any]]]:
        """KL of the policy to the base on one task, and a record per response."""
        job, config = self.job, self.job.tasks[task]
        assert job.kl is not None and self.base is not None  # both are there, or KL is not asked for
        samples = job.kl.samples
        chosen = choose_problems(scored, job.kl.problems, job.evaluation_seed + 1)
        params = SamplingParams(max_tokens=config.max_tokens, stop=config.stop)
        with _timed(session.findings.seconds, "kl"):
            rollouts = draw_rollouts(
                chosen, job.templates[task], samples, params, session.engine, self.stream(task, purpose)
            )
            divergences = measure_kl(
                self.policy,
                self.base,
                rollouts,
                self.tokenizer.pad_token_id,
                len(self.tokenizer),
                self.device,
            )
        records = [
            {
                "task": task,
                "problem": rollout.prompt_id,
                "sample": rollout.sample,
                "response": rollout.text,
                "tokens": len(rollout.token_ids),
                **vars(divergence),
            }
            for rollout, divergence in zip(rollouts, divergences, strict=True)
        ]
        return summarise_kl(task, samples, rollouts, divergences), records

    def weight_change(self) -> WeightChange | None:
        """Sparsity and relative change of the weights as stored; None for the base itself."""
        base, eta = self.files.base, self.job.sparsity_eta
        if not base:
            return None
        assert eta is not None  # given wherever there is a base
        weights, unchanged, moved, size = 0, 0.0, 0.0, 0.0
        for _, stored in stream_tensors([base, self.files.policy]):
            before, after = (tensor.read() for tensor in stored)
            weights += after.numel()
            unchanged += after.numel() * update_sparsity(before, after, eta)
            moved += float((after.double() - before.double()).square().sum())
            size += float(before.double().square().sum())
        return WeightChange(unchanged / weights, eta, weights, math.sqrt(moved / size))
