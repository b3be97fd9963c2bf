"""From prompts to scored groups of rollouts: sampling, verification, rewards, dynamic sampling."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rlvr.config.precision import GrpoConfig, OverlongConfig, SamplingConfig
from rlvr.data.problem import Problem
from rlvr.rollout.engine import Rollout, RolloutEngine, SamplingParams
from rlvr.rollout.judged import draw_rollouts, judge_rollouts
from rlvr.rollout.streams import stream_seed
from rlvr.training.prompts import step_problems
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Verdict


@dataclass(frozen=True)
class Group:
    """All responses to one prompt, their verdicts and shaped rewards, in sample order."""

    problem: Problem
    rollouts: tuple[Rollout, ...]
    verdicts: tuple[Verdict, ...]
    rewards: tuple[float, ...]

    @property
    def mixed(self) -> bool:
        """Some responses right and some wrong; without that a group carries no signal (DAPO)."""
        return len({verdict.reward for verdict in self.verdicts}) > 1


@dataclass(frozen=True)
class Collected:
    """The groups of one step: `kept` are trained on, `sampled` is everything that was drawn."""

    kept: tuple[Group, ...]
    sampled: tuple[Group, ...]
    resampling_rounds: int
    prompts_short: int
    seconds_rollout: float
    seconds_verify: float


def overlong_penalty(tokens: int, max_tokens: int, config: OverlongConfig) -> float:
    """0 up to `max_tokens − buffer`, then falling linearly to −`penalty` (DAPO, equation 13)."""
    if not config.enabled:
        return 0.0
    excess = tokens - (max_tokens - config.buffer_tokens)
    return -config.penalty * max(0, excess) / config.buffer_tokens


def _score(
    problem: Problem, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict], config: GrpoConfig
) -> Group:
    rewards = tuple(
        (config.rewards.correct if verdict.reward else config.rewards.incorrect)
        + overlong_penalty(len(rollout.token_ids), config.sampling.max_tokens, config.overlong)
        for rollout, verdict in zip(rollouts, verdicts, strict=True)
    )
    return Group(problem, tuple(rollouts), tuple(verdicts), rewards)


def training_sampling(sampling: SamplingConfig) -> SamplingParams:
    """How training responses are drawn."""
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        min_tokens=sampling.min_tokens,
        stop=sampling.stop,
    )


def collect_groups(
    problems: Sequence[Problem],
    template: str,
    engine: RolloutEngine,
    judge: Judge,
    config: GrpoConfig,
    seed: int,
    step: int,
) -> Collected:
    """Sample and score the groups of one step.

    With dynamic sampling (DAPO, arXiv:2503.14476, section 3.2) groups that are all right or all wrong are
    dropped and replaced in at most `max_rounds` resampling rounds; what is still missing then is counted in
    `prompts_short`.
    """
    params = training_sampling(config.sampling)
    kept: list[Group] = []
    sampled: list[Group] = []
    seconds_rollout = seconds_verify = 0.0
    rounds = 1 + (config.dynamic_sampling.max_rounds if config.dynamic_sampling.enabled else 0)
    for current_round in range(rounds):
        started = time.perf_counter()
        chosen = step_problems(problems, seed, step, config.prompts_per_step - len(kept), current_round)
        stream = stream_seed(seed, step, current_round)
        rollouts = draw_rollouts(chosen, template, config.group_size, params, engine, stream)
        generated = time.perf_counter()
        verdicts = judge_rollouts(rollouts, chosen, template, config.group_size, judge)
        for index, problem in enumerate(chosen):
            part = slice(index * config.group_size, (index + 1) * config.group_size)
            group = _score(problem, rollouts[part], verdicts[part], config)
            sampled.append(group)
            if group.mixed or not config.dynamic_sampling.enabled:
                kept.append(group)
        seconds_rollout += generated - started
        seconds_verify += time.perf_counter() - generated
        if len(kept) == config.prompts_per_step:
            break
    return Collected(
        tuple(kept),
        tuple(sampled),
        current_round,
        config.prompts_per_step - len(kept),
        seconds_rollout,
        seconds_verify,
    )
