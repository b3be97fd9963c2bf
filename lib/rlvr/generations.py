"""What a policy generated: one record a response, with rewards, entropy and length, and their summary."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from rlvr.files import read_jsonl, write_jsonl
from rlvr.objectives import masked_mean

REWARDS = ("format_reward", "answer_reward", "reward")


@dataclass(frozen=True)
class Generation:
    """One response and what it earned; it is correct if its `answer_reward` is 1.

    `entropy`: mean over its tokens of the next-token entropy, in nats; NaN if it has none. `length`: tokens.
    """

    prompt: str
    response: str
    ground_truth: str
    format_reward: float
    answer_reward: float
    reward: float
    entropy: float
    length: int


@dataclass(frozen=True)
class GenerationLog:
    """The generations of one step or one evaluation, in the order in which they were given."""

    generations: tuple[Generation, ...]

    def records(self) -> list[dict[str, Any]]:
        """Plain records for JSON lines; an entropy of NaN, which is no JSON number, is None."""
        rows = [asdict(generation) for generation in self.generations]
        return [row | {"entropy": None if math.isnan(row["entropy"]) else row["entropy"]} for row in rows]

    def summary(self) -> dict[str, float]:
        """Metrics by name; a mean over no responses is NaN.

        `responses`, `correct`, `wrong`, `well_formed` (format reward 1) and `empty` are counts, lengths are
        in tokens. `entropy_mean` is over the responses that have tokens, each of the same weight.
        """
        every = self.generations
        correct = [one for one in every if one.answer_reward == 1.0]
        wrong = [one for one in every if one.answer_reward != 1.0]
        return {
            "responses": len(every),
            "correct": len(correct),
            "wrong": len(wrong),
            "well_formed": sum(one.format_reward == 1.0 for one in every),
            "empty": sum(one.length == 0 for one in every),
            "reward_mean": _mean(one.reward for one in every),
            "entropy_mean": _mean(one.entropy for one in every if one.length),
            "length_mean": _mean(one.length for one in every),
            "length_mean_correct": _mean(one.length for one in correct),
            "length_mean_wrong": _mean(one.length for one in wrong),
        }


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return fmean(listed) if listed else math.nan


def log_generations(
    prompts: Sequence[str],
    responses: Sequence[str],
    ground_truths: Sequence[str],
    rewards: Sequence[Mapping[str, float]],
    token_entropies: Float[Tensor, "B S"],
    response_mask: Bool[Tensor, "B S"],
) -> GenerationLog:
    """Records of B responses and, in `GenerationLog.summary`, what they come to.

    `rewards`: one mapping a response, as `rlvr.verify.prompted` gives it. `token_entropies`: in nats, as
    `rlvr.policy.get_response_log_probs` gives them; they count where `response_mask` is true, and a NaN
    elsewhere changes nothing. Lists of unequal length, tensors of another shape, a mask that is not boolean,
    and a reward that lacks a key raise ValueError.
    """
    _require_rows(len(responses), prompts=prompts, ground_truths=ground_truths, rewards=rewards)
    if token_entropies.shape != response_mask.shape or len(response_mask) != len(responses):
        raise ValueError(
            f"token_entropies {tuple(token_entropies.shape)} and response_mask {tuple(response_mask.shape)} "
            f"must have one shape, (B, S) with a row for each of the {len(responses)} responses"
        )
    entropies = masked_mean(token_entropies.double(), response_mask, 1).tolist()
    lengths = response_mask.sum(1).tolist()
    scores = [_scores(index, reward) for index, reward in enumerate(rewards)]
    rows = zip(prompts, responses, ground_truths, scores, entropies, lengths, strict=True)
    return GenerationLog(
        tuple(
            Generation(prompt, response, truth, score[0], score[1], score[2], entropy, length)
            for prompt, response, truth, score, entropy, length in rows
        )
    )


def _require_rows(rows: int, **lists: Sequence[Any]) -> None:
    for name, values in lists.items():
        if len(values) != rows:
            raise ValueError(f"{rows} responses but {len(values)} {name}; they are paired by position")


def _scores(index: int, reward: Mapping[str, float]) -> tuple[float, float, float]:
    if missing := [name for name in REWARDS if name not in reward]:
        raise ValueError(f"the rewards of response {index} lack {', '.join(missing)}")
    formatted, answered, total = (float(reward[name]) for name in REWARDS)
    return formatted, answered, total


def append_generations(path: str | Path, step: int, log: GenerationLog) -> None:
    """Add the records of a training step to a `.jsonl` or `.jsonl.gz` file, each with its `step`.

    Records of this step and later ones, which a run that was cut off left behind, are replaced. The file is
    whole at any time.
    """
    earlier = [row for row in read_jsonl(path) if row["step"] < step] if Path(path).exists() else []
    write_jsonl(path, [*earlier, *({"step": step} | row for row in log.records())])
