"""The base under one prompt, before any training (rule evaluate_zero_shot)."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.alignment.job import Common
from rlvr.alignment.results import VALIDATION_COLUMNS, close_validation, validation_row
from rlvr.alignment.setup import Setup
from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.files import write_csv, write_jsonl
from rlvr.training.optimizer import trainable_policy
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Response, Verdict

# (format reward, answer reward): the answer of a response without format is never read.
CATEGORIES = ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
EXAMPLES = 10  # of each kind of failure

Judged = tuple[Response, Problem, Verdict]

FAILURES: dict[str, Callable[[Response, Verdict], bool]] = {
    "well_formed_wrong": lambda response, verdict: verdict.format_ok and verdict.reward != 1.0,
    "unformatted": lambda response, verdict: not verdict.format_ok,
    "truncated": lambda response, verdict: verdict.reward != 1.0 and not response.finished,
}


@dataclass(frozen=True)
class ZeroShotJob:
    """The base under the prompt of this name in `alignment.prompts`; `common.prompt` is that prompt."""

    prompt: str
    common: Common


@dataclass(frozen=True)
class ZeroShotFiles:
    """Outputs."""

    validation: str
    generations: str
    categories: str
    failures: str


class _RecordingJudge(Judge):
    """A judge that keeps what it was given and what it said."""

    judged: list[Judged]

    def judge(self, responses: Sequence[Response], problems: Sequence[Problem]) -> list[Verdict]:
        verdicts = super().judge(responses, problems)
        self.judged = list(zip(responses, problems, verdicts, strict=True))
        return verdicts


def evaluate_zero_shot(
    job: ZeroShotJob, base: str, validation: str, files: ZeroShotFiles, verification_workers: int = 1
) -> None:
    """Sample one response of the policy in the folder `base` to each final problem of the file `validation`.

    Writes one row of validation (seed 0, step 0), every response with its entropy, how many there are of each
    pair of rewards, and examples of each kind of failure with what the verifier made of them.
    """
    setup = Setup.open(job.common, base, validation)
    setup.configure(seed=0)
    model = trainable_policy(base, job.common.mode, setup.device)
    validator = setup.validator(0, len(setup.final_problems))
    with (
        setup.open_engine(model) as engine,
        _RecordingJudge(verification_workers, job.common.verification) as judge,
    ):
        measured = validator.measure(model, engine, judge, step=0, final=True)
    rows = close_validation([validation_row(measured.row, seconds=0.0)], job.common.collapse_share)
    categories = categorise([verdict for _, _, verdict in judge.judged])
    write_csv(files.validation, VALIDATION_COLUMNS, [{"seed": 0, **row} for row in rows])
    write_csv(files.categories, ["format_reward", "answer_reward", "count", "share"], categories)
    write_jsonl(files.failures, failures(judge.judged))
    write_jsonl(files.generations, [{"seed": 0, **row} for row in measured.generations])


def categorise(verdicts: Sequence[Verdict]) -> list[dict[str, float]]:
    """Count and share of each of CATEGORIES, in that order; ValueError for a verdict of none of them."""
    counts = Counter((float(verdict.format_ok), verdict.reward) for verdict in verdicts)
    if others := set(counts) - set(CATEGORIES):
        raise ValueError(f"no such category of (format_reward, answer_reward): {sorted(others)}")
    return [
        {
            "format_reward": category[0],
            "answer_reward": category[1],
            "count": counts[category],
            "share": counts[category] / len(verdicts),
        }
        for category in CATEGORIES
    ]


def failures(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """The first EXAMPLES of each kind of FAILURES; a response may be of two kinds, and then stands twice.

    Enough to say whether the policy or the verifier failed: prompt, response, ground truth, and what the
    verifier extracted, by which rule, and why it refused it.
    """
    return [
        {
            "kind": kind,
            "id": problem.id,
            "prompt": apply_template(response.template, problem),
            "response": response.text,
            "finished": response.finished,
            "ground_truth": problem.answer,
            "extracted": verdict.answer,
            "rule": verdict.rule,
            "reason": verdict.reason,
        }
        for kind, is_one in FAILURES.items()
        for response, problem, verdict in [one for one in judged if is_one(one[0], one[2])][:EXAMPLES]
    ]
