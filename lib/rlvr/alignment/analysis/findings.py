"""What each group of arms came to: two sentences computed from the tables."""

from collections.abc import Callable

import pandas as pd

from rlvr.alignment.analysis.comparisons import AGAINST_SFT, EVERY_SIZE, OVER_TRAINING, SIZES, best_arm
from rlvr.alignment.analysis.findings_grpo import GRPO_GROUPS
from rlvr.alignment.analysis.leaderboard import ZERO_SHOT
from rlvr.alignment.analysis.load import AlignmentStudy
from rlvr.alignment.analysis.welch import HIGHER, LOWER
from rlvr.alignment.analysis.words import (
    Facts,
    Finding,
    Numbers,
    accuracy_words,
    arm_words,
    difference_words,
    differences_words,
    gain_words,
    listed,
    sentence,
)
from rlvr.config.alignment import ComparisonConfig
from rlvr.statistics.samples import POINTS

Sentences = tuple[str, str]
# Two sentences without capital and full stop, or None where there is nothing to tell.
Group = Callable[[Facts, Numbers], Sentences | None]


def _larger_loss(form: float, answer: float, problems: int) -> str:
    """Which of two exclusive shares of one sample is larger, if by more than two standard errors."""
    error = ((form + answer - (form - answer) ** 2) / problems) ** 0.5
    if abs(form - answer) <= 2 * error:
        return "neither is seen to lose more"
    return f"the {'format' if form > answer else 'answer'} loses more"


def _zero_shot(facts: Facts, numbers: Numbers) -> Sentences | None:
    scores, losses = [], []
    for prompt, row in facts.study.zero_shot.items():
        accuracy, problems = float(row["accuracy"]), int(row["problems"])
        error = POINTS * (accuracy * (1 - accuracy) / problems) ** 0.5
        scores.append(
            f"{numbers.say(f'{prompt} accuracy percent', POINTS * accuracy)} % of "
            f"{numbers.count(f'{prompt} problems', problems)} questions right under {prompt} "
            f"(standard error {numbers.say(f'{prompt} standard error points', error)} points)"
        )
        form, answer = float(row["unformatted"]), float(row["well_formed_wrong"])
        losses.append(
            f"under {prompt} {numbers.say(f'{prompt} unformatted percent', POINTS * form)} % of the "
            "responses miss the format and "
            f"{numbers.say(f'{prompt} well formed wrong percent', POINTS * answer)} % keep it but are wrong, "
            f"so that {_larger_loss(form, answer, problems)}"
        )
    if not scores:
        return None
    return f"before any training the base gets {listed(scores)}", "; ".join(losses)


def _sizes_words(facts: Facts, numbers: Numbers) -> str:
    found = facts.compared(*SIZES, "accuracy_trend")
    if found.empty or pd.isna(found.iloc[0]["difference_points"]):
        return "a trend with the number of examples cannot be told from these arms"
    row = found.iloc[0]
    verb = {HIGHER: "rises", LOWER: "falls"}.get(row["verdict"], "shows no clear trend")
    numbers.say("sizes p", row["p"])
    rho = numbers.say("sizes rank correlation", row["difference_points"], "{:+.2f}")
    runs = numbers.count(f"sizes runs of {EVERY_SIZE}", row["n"])
    return f"accuracy {verb} with the number of examples (rank correlation {rho} over {runs} runs)"


def _sft(facts: Facts, numbers: Numbers) -> Sentences | None:
    best = best_arm(facts.arms, "sft")
    if best is None:
        return None
    own = facts.arms[(facts.arms["method"] == "sft") & facts.arms["accuracy_mean"].notna()]
    first = (
        f"the best of {numbers.count('sft arms', len(own))} supervised arms has {arm_words(best)}: "
        f"{accuracy_words(facts, numbers, 'sft', best)}, {gain_words(facts, numbers, 'sft', best)}"
    )
    second = _sizes_words(facts, numbers)
    if facts.experiment("sft", "filtered"):
        told = differences_words(facts, numbers, "sft", "filtered", ("accuracy", "examples"))
        second += f"; of training on correct examples only: {told}"
    return first, second


def _entropy_words(facts: Facts, numbers: Numbers, arm: str) -> str:
    row = facts.arm("expert_iteration", arm)
    change = facts.compared("expert_iteration", OVER_TRAINING, "entropy").set_index("arm").loc[arm]
    ends = [numbers.say(f"{arm} {name}", row[name], "{:.3f}") for name in ("entropy_first", "entropy_last")]
    verdict = {HIGHER: "a rise", LOWER: "a fall"}.get(
        str(change["verdict"]), "no change that these seeds can show"
    )
    return f"with {arm_words(arm)} entropy goes from {ends[0]} to {ends[1]} nats a token ({verdict})"


def _expert_iteration(facts: Facts, numbers: Numbers) -> Sentences | None:
    best = best_arm(facts.arms, "expert_iteration")
    if best is None:
        return None
    rows = facts.compared("expert_iteration", AGAINST_SFT, "accuracy")
    first = (
        f"the best arm of expert iteration has {arm_words(best)} and ends at "
        f"{accuracy_words(facts, numbers, 'expert_iteration', best)}"
    )
    if rows.empty:
        first += "; there is no supervised arm to compare it with"
    else:
        supervised = arm_words(rows.iloc[0]["reference"].removeprefix("sft/"))
        told = difference_words(facts, numbers, rows[rows["arm"] == best])
        first += f"; against the best supervised arm, with {supervised}: {told}"
    named = [one.name for one in facts.study.experiments if one.method == "expert_iteration"]
    parts = [
        f"{name.replace('_', ' ')}: "
        + differences_words(facts, numbers, "expert_iteration", name, ("accuracy",))
        for name in named
        if facts.experiment("expert_iteration", name)
    ]
    return first, "; ".join([_entropy_words(facts, numbers, best), *parts])


def _leaderboard(facts: Facts, numbers: Numbers) -> Sentences | None:
    ranked = facts.leaderboard.dropna(subset="rank")
    trained = ranked[ranked["method"] != ZERO_SHOT]
    if trained.empty:
        return None
    best = trained.iloc[0]
    first = (
        f"of {numbers.count('trained arms', len(trained))} trained arms {best['method']}/{best['arm']} is "
        f"first with {accuracy_words(facts, numbers, best['method'], best['arm'])}"
    )
    overlapping = trained.iloc[1:][trained["high"].iloc[1:] >= best["low"]]
    first += (
        f"; {numbers.count('overlapping arms', len(overlapping))} of the others "
        f"{_has(overlapping)} an interval that overlaps with it, and the best of many is flattered by luck"
    )
    second = (
        f"it took {numbers.say('first train seconds', best['train_seconds_mean'])} s of training and "
        f"{numbers.say('first tokens sampled', best['tokens_sampled_mean'], '{:.0f}')} sampled tokens a seed"
    )
    base = ranked[(ranked["method"] == ZERO_SHOT) & (ranked["arm"] == facts.study.prompt)]
    if base.empty:
        return first, f"{second}; there is no zero-shot result to place the base"
    below = trained[trained["accuracy_mean"] < base.iloc[0]["accuracy_mean"]]
    accuracy = numbers.say("base percent", POINTS * base.iloc[0]["accuracy_mean"])
    return first, (
        f"{second}; {numbers.count('arms below the base', len(below))} of the trained arms {_has(below)} "
        f"less accuracy than the untrained base ({accuracy} % under {facts.study.prompt})"
    )


def _has(rows: pd.DataFrame) -> str:
    return "has" if len(rows) == 1 else "have"


GROUPS: dict[str, tuple[str, Group]] = {
    "zero_shot": ("The base before training", _zero_shot),
    "sft": ("Supervised fine-tuning", _sft),
    "expert_iteration": ("Expert iteration", _expert_iteration),
    **GRPO_GROUPS,
    "leaderboard": ("Leaderboard", _leaderboard),
}


def _finding(title: str, group: Group, facts: Facts) -> Finding:
    numbers = Numbers()
    found = group(facts, numbers) or (
        "there is no result for this in this run",
        "its arms are missing from the config or were not trained, so nothing can be said about it",
    )
    return Finding(title, (sentence(found[0]), sentence(found[1])), numbers.by_name)


def findings(
    study: AlignmentStudy,
    arms: pd.DataFrame,
    comparisons: pd.DataFrame,
    leaderboard: pd.DataFrame,
    config: ComparisonConfig,
) -> dict[str, Finding]:
    """The findings by group, from the tables of `arms_table`, `comparisons_table`, `leaderboard_table`."""
    facts = Facts(study, arms, comparisons, leaderboard, config)
    return {name: _finding(title, group, facts) for name, (title, group) in GROUPS.items()}
