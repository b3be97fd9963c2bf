"""Parts of the findings' sentences, each number of which is kept under a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rlvr.alignment.analysis.load import AlignmentStudy
from rlvr.alignment.analysis.welch import EQUIVALENT, HIGHER, LOWER, NO_DIFFERENCE
from rlvr.alignment.arms import DEFAULT, Experiment
from rlvr.config.alignment import ComparisonConfig
from rlvr.statistics.samples import POINTS

UNKNOWN = "an unknown number"
# How a metric is called, its unit behind a number, and its digits.
METRIC_WORDS = {
    "accuracy": ("accuracy", " points", "{:.1f}"),
    "gain": ("the gain", " points", "{:.1f}"),
    "entropy": ("entropy", " nats a token", "{:.3f}"),
    "length": ("the response length", " tokens", "{:.2f}"),
    "grad_norm": ("the mean gradient norm", "", "{:.3f}"),
    "ratio_max": ("the largest probability ratio", "", "{:.3f}"),
    "train_seconds": ("training time", " s", "{:.1f}"),
    "seconds_to_level": ("the time to half of the reference's gain", " s", "{:.1f}"),
    "examples": ("the number of examples", "", "{:.0f}"),
}
# How arms are counted by their verdict.
VERDICT_COUNTS = {
    HIGHER: "higher", LOWER: "lower", EQUIVALENT: "equivalent", NO_DIFFERENCE: "not seen to differ",
    "": "not comparable",
}  # fmt: skip
# More arms than this are counted instead of told one by one.
TOLD_SINGLY = 3


class Numbers:
    """The numbers of a finding by name; what is said is kept, so that no sentence has another number."""

    def __init__(self) -> None:
        self.by_name: dict[str, float | int | None] = {}

    def say(self, name: str, value: float, pattern: str = "{:.1f}", sign: int = 1) -> str:
        """The number times `sign` as text; kept as it is, and as None where it is not known."""
        known = value is not None and not pd.isna(value)
        plain = float(value) if known and isinstance(value, float) else value
        self.by_name[name] = plain if known else None
        return pattern.format(sign * plain) if known else UNKNOWN

    def count(self, name: str, value: int) -> str:
        """A whole number as text."""
        return self.say(name, int(value), "{:d}")


@dataclass(frozen=True)
class Finding:
    """What a group of arms came to, in exactly two sentences, and the numbers in them."""

    title: str
    sentences: tuple[str, str]
    numbers: Mapping[str, float | int | None]

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"title": self.title, "sentences": list(self.sentences), "numbers": dict(self.numbers)}


@dataclass(frozen=True)
class Facts:
    """The tables that findings are read from."""

    study: AlignmentStudy
    arms: pd.DataFrame
    comparisons: pd.DataFrame
    leaderboard: pd.DataFrame
    config: ComparisonConfig

    def arm(self, method: str, name: str) -> pd.Series:
        """The row of an arm of the study."""
        return self.arms[(self.arms["method"] == method) & (self.arms["arm"] == name)].iloc[0]

    def experiment(self, method: str, name: str) -> Experiment | None:
        """An experiment that has a result in at least one arm; None where there is none."""
        for one in self.study.experiments:
            if (one.method, one.name) == (method, name):
                trained = (self.arm(method, arm)["seeds"] > 0 for arm in one.arms)
                return one if any(trained) else None
        return None

    def compared(self, method: str, experiment: str, metric: str) -> pd.DataFrame:
        """The rows of one metric of an experiment."""
        rows = self.comparisons
        chosen = (rows["method"] == method) & (rows["experiment"] == experiment) & (rows["metric"] == metric)
        return rows[chosen]


def arm_words(arm: str) -> str:
    """The settings of an arm, behind `with` or `has`."""
    return "the default settings" if arm == DEFAULT else arm


def short_name(arm: str, reference: str) -> str:
    """The settings in which an arm differs from a reference; all of its own where that cannot be told so.

    It cannot where the reference sets something that the arm leaves at its default.
    """
    own, other = (
        dict(part.split("=", 1) for part in name.split(",") if "=" in part) for name in (arm, reference)
    )
    differing = [f"{key}={value}" for key, value in own.items() if other.get(key) != value]
    return ",".join(differing) if differing and other.keys() <= own.keys() else arm_words(arm)


def listed(words: Sequence[str], joint: str = "and") -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}"


def confidence_words(facts: Facts, numbers: Numbers) -> str:
    """`95 % interval`."""
    return f"{numbers.say('confidence_percent', 100 * facts.config.confidence, '{:g}')} % interval"


def _limits_words(
    facts: Facts, numbers: Numbers, name: str, limits: pd.Series, pattern: str, sign: int = 1
) -> str:
    """`95 % interval 1.0 to 2.0`, or that there is none; `limits`: low and high, named so, as to be said."""
    if limits.isna().any():
        return "no interval, as it has fewer than two seeds"
    said = [numbers.say(f"{name} {end}", value, pattern, sign) for end, value in limits.items()]
    return f"{confidence_words(facts, numbers)} {said[0]} to {said[1]}"


def seeds_words(facts: Facts, numbers: Numbers, name: str, seeds: int) -> str:
    """`3 seeds`, or `2 of 3 seeds`."""
    expected = facts.study.seeds
    of = f" of {numbers.count('seeds of every arm', expected)}" if seeds < expected else ""
    return f"{numbers.count(f'{name} seeds', seeds)}{of} seeds"


def accuracy_words(facts: Facts, numbers: Numbers, method: str, arm: str) -> str:
    """`63.2 % (95 % interval 60.1 to 66.3, 3 seeds)`."""
    row, name = facts.arm(method, arm), f"{method}/{arm} accuracy percent"
    mean, low, high = (POINTS * row[f"accuracy_{part}"] for part in ("mean", "low", "high"))
    interval = pd.Series({"low": low, "high": high})
    if pd.isna(mean):
        return "an unknown accuracy (no seed has a result)"
    said = numbers.say(name, mean)
    limits = _limits_words(facts, numbers, name, interval, "{:.1f}")
    return f"{said} % ({limits}, {seeds_words(facts, numbers, name, int(row['accuracy_seeds']))})"


def gain_words(facts: Facts, numbers: Numbers, method: str, arm: str) -> str:
    """`+12.0 points over the zero-shot start of 42.0 % (95 % interval +9.1 to +14.9, 3 seeds)`."""
    row, name = facts.arm(method, arm), f"{method}/{arm} gain points"
    if pd.isna(row["gain_points"]):
        return "an unknown number of points, as a seed's result or the zero-shot start is missing"
    start = numbers.say(f"{row['prompt']} start percent", POINTS * row["start_accuracy"])
    interval = pd.Series({"low": row["gain_low"], "high": row["gain_high"]})
    limits = _limits_words(facts, numbers, name, interval, "{:+.1f}")
    seeds = seeds_words(facts, numbers, name, int(row["accuracy_seeds"]))
    said = numbers.say(name, row["gain_points"], "{:+.1f}")
    return f"{said} points over the zero-shot start of {start} % ({limits}, {seeds})"


def _clause(facts: Facts, numbers: Numbers, row: pd.Series) -> str:
    """What a row of the comparisons says of its metric; a size without a sign where the verdict has one."""
    metric, unit, pattern = METRIC_WORDS[row["metric"]]
    name = f"{row['method']}/{row['experiment']}/{row['arm']} {row['metric']} difference"
    if pd.isna(row["difference_points"]):
        return f"{metric} cannot be compared (too few seeds have a number)"
    directed = row["verdict"] in (HIGHER, LOWER)
    shown = pattern if directed else pattern.replace(":", ":+")
    sign = -1 if row["verdict"] == LOWER else 1
    limits = _limits_words(facts, numbers, name, row[["low", "high"]][::sign], shown, sign)
    if row["low"] == row["high"]:
        limits = "the same in every seed"
    size = numbers.say(name, row["difference_points"], shown, sign)
    if directed:
        return f"{metric} is {row['verdict']} by {size}{unit} ({limits})"
    if row["verdict"] == EQUIVALENT:
        margin = numbers.say("margin points", facts.config.margin_points, "{:g}")
        level = numbers.say("level percent", POINTS * (1 - facts.config.confidence), "{:.3g}")
        return f"{metric} is equivalent within {margin} points (tested at {level} %; {limits})"
    seeds = min(row["n"], row["n_reference"])
    corrected = "" if row["low"] <= 0 <= row["high"] else " after correction for several comparisons"
    told = seeds_words(facts, numbers, f"{row['method']}/{row['arm']}", seeds)
    return f"{metric} shows no difference with {told}{corrected} ({limits})"


def difference_words(facts: Facts, numbers: Numbers, rows: pd.DataFrame) -> str:
    """What the rows of one arm say, a metric each."""
    first = rows.iloc[0]
    clauses = [_clause(facts, numbers, row) for _, row in rows.iterrows()]
    return f"with {short_name(first['arm'], first['reference'])} {listed(clauses)}"


def _count_words(numbers: Numbers, rows: pd.DataFrame) -> str:
    """How many arms are higher or lower in a metric, where they are too many to be told one by one."""
    first = rows.iloc[0]
    name = f"{first['method']}/{first['experiment']} {first['metric']}"
    told = [
        f"{words} in {numbers.count(f'{name} {words}', int((rows['verdict'] == verdict).sum()))}"
        for verdict, words in VERDICT_COUNTS.items()
        if (rows["verdict"] == verdict).any()
    ]
    total = numbers.count(f"{name} arms", len(rows))
    return f"{METRIC_WORDS[first['metric']][0]} is {listed(told)} of {total} other arms"


def differences_words(
    facts: Facts, numbers: Numbers, method: str, experiment: str, metrics: Sequence[str]
) -> str:
    """All comparisons of an experiment in some metrics: arm by arm, or counted where the arms are many."""
    rows = pd.concat([facts.compared(method, experiment, metric) for metric in metrics])
    if rows.empty:
        return "nothing is compared"
    if rows["arm"].nunique() > TOLD_SINGLY:
        told = [_count_words(numbers, own) for _, own in rows.groupby("metric", sort=False)]
    else:
        told = [difference_words(facts, numbers, own) for _, own in rows.groupby("arm", sort=False)]
    return "; ".join(told)


def diverged_words(facts: Facts, numbers: Numbers, method: str, arms: Sequence[str]) -> str:
    """The arms with diverged seeds; empty if there are none."""
    told = []
    for arm in arms:
        row = facts.arm(method, arm)
        if row["diverged"]:
            counts = [numbers.count(f"{method}/{arm} {name}", row[name]) for name in ("diverged", "seeds")]
            told.append(f"with {short_name(arm, arms[0])}, {counts[0]} of {counts[1]} seeds diverged")
    return listed(told) if told else ""


def untrained_words(facts: Facts, experiment: Experiment) -> str:
    """`; there is no result with x`; empty where every arm of an experiment has a seed."""
    names = [
        short_name(arm, experiment.arms[0])
        for arm in experiment.arms
        if not facts.arm(experiment.method, arm)["seeds"]
    ]
    return f"; there is no result with {listed(names)}" if names else ""


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."
