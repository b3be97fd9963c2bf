"""Sample the base policy on the training problems and keep the perfectible ones (rule select_perfectible)."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.precision import PerfectibleConfig, SamplingConfig
from rlvr.config.verification import VerificationConfig
from rlvr.data.perfectible import PerfectibleEntry, choose_perfectible
from rlvr.data.problem import Problem, read_problems
from rlvr.devices import describe_device, resolve_device
from rlvr.files import sha256_file, write_csv, write_json, write_jsonl
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.provenance import hash_inputs, resume_identity
from rlvr.rollout.engine import RolloutEngine
from rlvr.rollout.judged import draw_rollouts, judge_rollouts
from rlvr.rollout.opening import open_engine
from rlvr.rollout.streams import named_generator
from rlvr.sigterm import end_after, noted_sigterm
from rlvr.sources import code_digest
from rlvr.training.checkpoint import load_checkpoint, save_checkpoint
from rlvr.training.completion import is_orphan, release_checkpoints
from rlvr.training.groups import training_sampling
from rlvr.training.owner import only_process
from rlvr.training.prompts import fitting_problems
from rlvr.verify.registry import Judge

logger = logging.getLogger(__name__)

# Problems that are sampled and judged together. A constant, since a resume must form the same batches.
CHUNK = 256
# Selections of seconds need no checkpoint.
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class SelectionJob:
    """Everything that decides which problems are kept, besides the input files.

    `sampling` is that of the training, since the set is to hold what training sees as solved sometimes.
    """

    template: str
    device: str
    compute_threads: int
    verification: VerificationConfig
    sampling: SamplingConfig
    perfectible: PerfectibleConfig


@dataclass(frozen=True)
class SelectionFiles:
    """Inputs (`base`, `problems`), outputs, and the folder of checkpoints, which is neither."""

    base: str
    problems: str
    kept: str
    counts: str
    accuracy: str
    checkpoints: str


def select_perfectible(job: SelectionJob, files: SelectionFiles, verification_workers: int = 1) -> None:
    """Write the kept problems (their order unchanged), the counts, and right responses by problem.

    The base is sampled in fp32, whatever the modes of the study. UserError if no problem is kept, or if no
    prompt leaves room for a response.
    """
    configure_arithmetic(job.compute_threads, deterministic=True, seed=job.perfectible.seed)
    device = resolve_device(job.device)
    code = code_digest(__file__)
    identity = resume_identity(job, hash_inputs(_inputs(files)), code, describe_device(device))
    problems = read_problems(files.problems)
    tokenizer = load_tokenizer(files.base)
    policy = load_policy(files.base, torch.float32, torch.float32, device=device)
    rows = job.sampling.max_batch_rows
    with (
        only_process(files.checkpoints),
        open_engine(policy, tokenizer, torch.float32, rows, device, share_weights=True) as engine,
        Judge(verification_workers, job.verification) as judge,
    ):
        room = engine.max_positions - job.sampling.max_tokens
        fitting = fitting_problems(problems, job.template, tokenizer, room)
        right = _sample(job, fitting, engine, judge, files.checkpoints, identity)
        _write(job, files, fitting, right, too_long=len(problems) - len(fitting))
        release_checkpoints(files.checkpoints)


def _inputs(files: SelectionFiles) -> dict[str, str]:
    return {"base": files.base, "problems": files.problems}


def _sample(
    job: SelectionJob,
    problems: Sequence[Problem],
    engine: RolloutEngine,
    judge: Judge,
    checkpoints: str,
    identity: str,
) -> list[int]:
    """Right responses of each problem, from a checkpoint on where there is one.

    After a SIGTERM the chunk is finished and saved, and Terminated raised.
    """
    saved = load_checkpoint(checkpoints, identity)
    right: list[int] = saved[1]["right"] if saved else []
    saved_at = time.monotonic()
    with noted_sigterm() as sigterm:
        for counts in _count_right(job, problems[len(right) :], engine, judge):
            right += counts
            logger.info("%d of %d problems sampled", len(right), len(problems))
            ends = sigterm.came
            if ends or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                save_checkpoint(checkpoints, len(right), {"right": right}, identity)
                saved_at = time.monotonic()
            if ends:
                end_after(f"{len(right)} of {len(problems)} problems")
    if is_orphan():
        save_checkpoint(checkpoints, len(right), {"right": right}, identity)
    return right


def _count_right(
    job: SelectionJob, problems: Sequence[Problem], engine: RolloutEngine, judge: Judge
) -> Iterator[list[int]]:
    """Right responses of each problem, a chunk of problems at a time."""
    samples, params = job.perfectible.samples, training_sampling(job.sampling)
    # A name of its own, so that no training run draws the same numbers for a prompt.
    stream = int(named_generator("perfectible", job.perfectible.seed).integers(2**63))
    for start in range(0, len(problems), CHUNK):
        chunk = problems[start : start + CHUNK]
        rollouts = draw_rollouts(chunk, job.template, samples, params, engine, stream)
        verdicts = judge_rollouts(rollouts, chunk, job.template, samples, judge)
        rewards = [verdict.reward > 0 for verdict in verdicts]
        yield [sum(rewards[place : place + samples]) for place in range(0, len(rewards), samples)]


def _write(
    job: SelectionJob,
    files: SelectionFiles,
    problems: Sequence[Problem],
    right: Sequence[int],
    too_long: int,
) -> None:
    """Choose from the sampled problems, and write every output."""
    config = job.perfectible
    chosen = choose_perfectible(right, config)
    write_jsonl(files.kept, (asdict(problems[place]) for place in chosen.kept))
    entry = PerfectibleEntry(
        problems=len(problems) + too_long,
        kept=len(chosen.kept),
        too_hard=chosen.too_hard,
        too_easy=chosen.too_easy,
        too_long=too_long,
        samples=config.samples,
        lowest=config.lowest,
        highest=config.highest,
        seed=config.seed,
        accuracy=chosen.accuracy,
        accuracy_kept=chosen.accuracy_kept,
        sha256=sha256_file(files.kept),
    )
    rows = (
        {"problem": problem.id, "right": count, "samples": config.samples}
        for problem, count in zip(problems, right, strict=True)
    )
    write_csv(files.accuracy, ["problem", "right", "samples"], rows)
    write_json(files.counts, asdict(entry))
    logger.info("%d of %d problems are perfectible", entry.kept, entry.problems)
