"""One row of metrics.csv a step, the logged rollouts and progress lines."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlvr.buckets import flat, together
from rlvr.optim import AdamW
from rlvr.processes import norm_over_processes, sum_over_processes
from rlvr.shards import local
from rlvr.training.groups import Collected, Group

logger = logging.getLogger(__name__)

Row = dict[str, float | int]

# Elements that are compared at once, in fp32 copies.
_BUCKET_ELEMENTS = 2**22


def rollout_metrics(collected: Collected) -> Row:
    """What was sampled in a step, dropped groups included (what is kept is no fair sample of the policy)."""
    rollouts = [rollout for group in collected.sampled for rollout in group.rollouts]
    rewards = np.array([reward for group in collected.sampled for reward in group.rewards])
    lengths = np.array([len(rollout.token_ids) for rollout in rollouts])
    return {
        "reward_mean": float(rewards.mean()),
        "reward_std": float(rewards.std()),
        "accuracy": float(np.mean([v.reward for group in collected.sampled for v in group.verdicts])),
        "response_length_mean": float(lengths.mean()),
        "response_length_max": int(lengths.max()),
        "finished_share": float(np.mean([rollout.finish_reason == "stop" for rollout in rollouts])),
        "groups_kept": len(collected.kept),
        "groups_dropped": len(collected.sampled) - len(collected.kept),
        "resampling_rounds": collected.resampling_rounds,
        "prompts_short": collected.prompts_short,
        "rollouts": len(rollouts),
        "tokens": int(lengths.sum()),
    }


class WeightTracker:
    """What a step did to the weights: size of the change, share changed in bf16 view, updates lost.

    Of divided weights each process keeps and compares its part, and `compare` is a collective.
    """

    def __init__(self, model: nn.Module):
        """`model`: as it starts, with the weights of the base."""
        self._parameters = dict(model.named_parameters())
        self._base = {name: local(weight).bfloat16().clone() for name, weight in self._parameters.items()}
        self._weights = sum(parameter.numel() for parameter in self._parameters.values())

    def copy(self) -> dict[str, Tensor]:
        """The weights as they are now, those of this process's part."""
        return {name: local(parameter).clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def compare(self, before: Mapping[str, Tensor], optimizer: AdamW, updated: bool) -> Row:
        """Metrics of the change since `before`; `updated`: whether an update was made since then.

        `updates_lost`: share of weights with a non-zero first moment, hence a non-zero update, whose stored
        value did not change over the step. `lost_update`: see `rlvr.optim.AdamW`.
        """
        norms, counts = [], []
        for names in together(
            self._parameters, lambda name: self._parameters[name].numel(), _BUCKET_ELEMENTS
        ):
            parameters = [self._parameters[name] for name in names]
            now, old = flat(list(map(local, parameters))), flat([before[name] for name in names])
            change = now.float() - old.float()
            norms.append(
                torch.stack([torch.linalg.vector_norm(x, dtype=torch.float64) for x in (change, old)])
            )
            changed = (now.bfloat16() != flat([self._base[name] for name in names])).count_nonzero()
            wanted = lost = torch.zeros_like(changed)
            if updated:
                attempted = _first_moments(parameters, optimizer) != 0
                wanted, lost = attempted.count_nonzero(), (attempted & (now == old)).count_nonzero()
            counts.append(torch.stack([changed, wanted, lost]))
        # One transfer from the device for all tensors.
        moved, size = norm_over_processes(torch.stack(norms).norm(dim=0)).tolist()
        changed, wanted, lost = sum_over_processes(torch.stack(counts).sum(dim=0)).tolist()
        return {
            "update_to_weight": moved / size,
            "weights_changed_bf16": changed / self._weights,
            "updates_lost": lost / wanted if wanted else math.nan,
            "lost_update": optimizer.lost_update(),
            "second_moments_stuck": second_moments_stuck(optimizer),
        }


def second_moments_stuck(optimizer: AdamW) -> float:
    """Share of the non-zero second moments v that β₂·v rounds back to: without gradient they never decay.

    With nearest rounding to bf16 and β₂ = 0.999 it is all of the normal ones: 0.001·v is less than half the
    distance to the next number. 0 with stochastic rounding, where a moment decays by β₂ in expectation; NaN
    if no second moment is non-zero.
    """
    if optimizer.write_back == "stochastic":
        return 0.0
    counts = []
    for group in optimizer.param_groups:
        moved = [parameter for parameter in group["params"] if parameter in optimizer.state]
        moments = [local(optimizer.state[parameter]["exp_avg_sq"]) for parameter in moved]
        for bucket in together(moments, lambda moment: moment.numel(), _BUCKET_ELEMENTS):
            second = flat(bucket)
            decayed = (second.float() * group["betas"][1]).to(second.dtype)
            kept = (decayed == second).count_nonzero() - (second == 0).count_nonzero()
            counts.append(torch.stack([kept, second.count_nonzero()]))
    stuck, nonzero = sum_over_processes(torch.stack(counts).sum(0)).tolist() if counts else (0, 0)
    return stuck / nonzero if nonzero else math.nan


def _first_moments(parameters: Sequence[nn.Parameter], optimizer: AdamW) -> Tensor:
    """All first moments of this process's part in one tensor; zeros where there was never a gradient."""
    moments = (
        optimizer.state[p]["exp_avg"] if p in optimizer.state else torch.zeros_like(p) for p in parameters
    )
    return flat([local(moment).float() for moment in moments])


def logged_rollouts(step: int, groups: Sequence[Group], count: int) -> list[dict[str, Any]]:
    """The first `count` rollouts of a step as plain records, one per group in turn."""
    records: list[dict[str, Any]] = []
    width = max(len(group.rollouts) for group in groups)
    for sample in range(width):
        for group in groups:
            if len(records) == count:
                return records
            rollout, verdict = group.rollouts[sample], group.verdicts[sample]
            records.append(
                {
                    "step": step,
                    "problem": group.problem.id,
                    "prompt": group.problem.prompt,
                    "truth": group.problem.answer,
                    "response": rollout.text,
                    "answer": verdict.answer,
                    "correct": verdict.reward,
                    "reason": verdict.reason,
                    "reward": group.rewards[sample],
                    "finish_reason": rollout.finish_reason,
                    "tokens": len(rollout.token_ids),
                    "log_prob": sum(rollout.log_probs),
                }
            )
    return records


class Progress:
    """Plain progress lines in the job's log; `python -m rlvr status` reads them back."""

    def __init__(self, total: int, first: int, every_seconds: float = 1.0):
        self._total, self._first, self._every = total, first, every_seconds
        self._started = time.monotonic()
        self._last = -math.inf

    def report(self, row: Row) -> None:
        """Log one line, at most one a second, and always the last."""
        now, step = time.monotonic(), int(row["step"])
        if step < self._total and now - self._last < self._every:
            return
        self._last = now
        left = (now - self._started) / (step - self._first) * (self._total - step)
        logger.info(
            "step %d/%d reward %.3f accuracy %.3f tokens/s %.0f left %ds",
            step,
            self._total,
            row["reward_mean"],
            row["accuracy"],
            row["tokens_per_second"],
            round(left),
        )
