"""What the experiments with GRPO came to, in two sentences each."""

from collections.abc import Sequence

import pandas as pd

from rlvr.alignment.analysis.comparisons import best_arm
from rlvr.alignment.analysis.words import (
    Facts,
    Numbers,
    accuracy_words,
    arm_words,
    differences_words,
    diverged_words,
    gain_words,
    untrained_words,
)

Sentences = tuple[str, str]
METHOD = "grpo"
# A loop that works gains at least this on the embedded task.
REQUIRED_GAIN_POINTS = 5.0


def _accuracy_sentence(facts: Facts, numbers: Numbers, name: str) -> str | None:
    """Where the reference of an experiment ends, and how the others compare."""
    experiment = facts.experiment(METHOD, name)
    if experiment is None:
        return None
    reference = experiment.arms[0]
    against = differences_words(facts, numbers, METHOD, name, ("accuracy",))
    diverged = diverged_words(facts, numbers, METHOD, experiment.arms)
    return (
        f"with {arm_words(reference)} accuracy ends at {accuracy_words(facts, numbers, METHOD, reference)}; "
        f"against it, {against}" + (f"; {diverged}" if diverged else "") + untrained_words(facts, experiment)
    )


def _loop(facts: Facts, numbers: Numbers) -> Sentences | None:
    experiment = facts.experiment(METHOD, "loop")
    if experiment is None:
        return None
    arm = experiment.arms[0]
    row = facts.arm(METHOD, arm)
    need = numbers.say("required gain points", REQUIRED_GAIN_POINTS, "{:g}")
    enough = row["gain_points"] >= REQUIRED_GAIN_POINTS and row["gain_low"] > 0
    verdict = (
        f"which is at least {need} points with an interval above zero"
        if enough
        else f"which does not show a gain of {need} points with an interval above zero"
    )
    first = (
        f"GRPO with {arm_words(arm)} changes accuracy by {gain_words(facts, numbers, METHOD, arm)}, {verdict}"
    )
    return first, f"{_start_words(facts, numbers, row['prompt'])}; {_ends_words(numbers, row)}"


def _start_words(facts: Facts, numbers: Numbers, prompt: str) -> str:
    if prompt not in facts.study.zero_shot:
        return "there is no zero-shot result to start from"
    problems = numbers.count("start problems", facts.study.zero_shot[prompt]["problems"])
    return (
        f"the start is the zero-shot accuracy on {problems} questions, one for all seeds and taken as exact"
    )


def _ends_words(numbers: Numbers, row: pd.Series) -> str:
    first, last = (
        numbers.say(f"entropy {end}", row[f"entropy_{end}"], "{:.3f}") for end in ("first", "last")
    )
    length = numbers.say("length last", row["length_last"])
    return f"entropy goes from {first} to {last} nats a token and responses end {length} tokens long"


def _learning_rate(facts: Facts, numbers: Numbers) -> Sentences | None:
    experiment = facts.experiment(METHOD, "learning_rate")
    if experiment is None:
        return None
    best = best_arm(facts.arms, METHOD, experiment.arms)
    count = numbers.count("learning rates", len(experiment.arms))
    if best is not None:
        first = (
            f"of {count} learning rates the best mean is that with {arm_words(best)}: "
            f"{accuracy_words(facts, numbers, METHOD, best)}"
        )
    else:
        first = f"of {count} learning rates none has a final accuracy"
    against = differences_words(facts, numbers, METHOD, "learning_rate", ("accuracy",))
    diverged = diverged_words(facts, numbers, METHOD, experiment.arms) or "none diverged"
    share = numbers.say("collapse share percent", 100 * facts.config.collapse_share, "{:g}")
    second = (
        f"{diverged}, where diverged means numbers that are not finite or a final accuracy below {share} % "
        f"of the start's{untrained_words(facts, experiment)}"
    )
    return f"{first}; against {arm_words(experiment.arms[0])}, {against}", second


def _baselines(facts: Facts, numbers: Numbers) -> Sentences | None:
    first, experiment = _accuracy_sentence(facts, numbers, "baselines"), facts.experiment(METHOD, "baselines")
    if first is None or experiment is None:
        return None
    gains = [
        f"with {arm_words(arm)} accuracy changes by {gain_words(facts, numbers, METHOD, arm)}"
        for arm in experiment.arms
    ]
    return first, "; ".join(gains)


def _with_metrics(facts: Facts, numbers: Numbers, name: str, metrics: Sequence[str]) -> Sentences | None:
    first = _accuracy_sentence(facts, numbers, name)
    return None if first is None else (first, differences_words(facts, numbers, METHOD, name, metrics))


def _length_normalization(facts: Facts, numbers: Numbers) -> Sentences | None:
    return _with_metrics(facts, numbers, "length_normalization", ("grad_norm", "length"))


def _std_normalization(facts: Facts, numbers: Numbers) -> Sentences | None:
    return _with_metrics(facts, numbers, "std_normalization", ("grad_norm",))


def _clip(facts: Facts, numbers: Numbers) -> Sentences | None:
    return _with_metrics(facts, numbers, "clip", ("ratio_max", "grad_norm"))


def _prompt(facts: Facts, numbers: Numbers) -> Sentences | None:
    found = _with_metrics(facts, numbers, "prompt", ("gain",))
    return found and (found[0], f"each from its own zero-shot start, {found[1]}")


def _off_policy(facts: Facts, numbers: Numbers) -> Sentences | None:
    broad = _accuracy_sentence(facts, numbers, "off_policy_broad")
    focused = _accuracy_sentence(facts, numbers, "off_policy_focused")
    told = [
        f"in the {name} sweep {words}"
        for name, words in (("broad", broad), ("focused", focused))
        if words is not None
    ]
    if not told:
        return None
    chosen = "off_policy_broad" if focused is None else "off_policy_focused"
    costs = differences_words(
        facts, numbers, METHOD, chosen, ("seconds_to_level", "train_seconds", "entropy")
    )
    return "; ".join(told), f"by the clock of this machine, {costs}"


GRPO_GROUPS = {
    "grpo": ("The GRPO loop", _loop),
    "learning_rate": ("Learning rate", _learning_rate),
    "baselines": ("Baseline and loss", _baselines),
    "length_normalization": ("Length normalisation", _length_normalization),
    "std_normalization": ("Standard deviation of the group", _std_normalization),
    "off_policy": ("Off-policy updates", _off_policy),
    "clip": ("Clipping", _clip),
    "prompt": ("Prompt", _prompt),
}
