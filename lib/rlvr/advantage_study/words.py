"""Numbers, intervals and differences in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rlvr.advantage_study.comparisons import NOT_COMPARED
from rlvr.alignment.analysis.welch import HIGHER, LOWER
from rlvr.statistics.samples import POINTS
from rlvr.table_rows import table_rows


@dataclass(frozen=True)
class Tables:
    """What the findings are read from: the tables of the analysis, see the functions that make them."""

    methods: pd.DataFrame
    scores: pd.DataFrame
    comparisons: pd.DataFrame
    grpo: pd.DataFrame
    grpo_comparisons: pd.DataFrame
    estimators: tuple[str, ...]
    score_steps: int
    confidence: float

    def method(self, name: str) -> pd.Series | None:
        """The row of a method; None if the study has no such."""
        own = self.methods[self.methods["method"] == name]
        return None if own.empty else own.iloc[0]

    def compared(self, part: str, method: str, reference: str) -> pd.Series | None:
        """A row of the comparisons; None if the study has no such."""
        rows = self.comparisons
        chosen = (rows["part"] == part) & (rows["method"] == method) & (rows["reference"] == reference)
        return rows[chosen].iloc[0] if chosen.any() else None


def text(value: float, pattern: str = "{:.2f}") -> str:
    """A number with a true minus sign."""
    return pattern.format(value).replace("-", "−")


def p_words(value: float) -> str:
    """`p = 0.031`, or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {text(value, '{:.2g}')}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def level(tables: Tables) -> str:
    """`95 % interval`."""
    return f"{POINTS * tables.confidence:g} % interval"


def score_words(tables: Tables, name: str) -> str:
    """`−50.10 (95 % interval −57.20 to −43.00, sd 15.00, 20 seeds)`."""
    row = tables.method(name)
    if row is None or not row["seeds"]:
        return "no finite number in any seed"
    if row["seeds"] < 2:
        return f"{text(row['score_mean'])} (one seed, so no interval)"
    limits = f"{level(tables)} {text(row['score_low'])} to {text(row['score_high'])}"
    return f"{text(row['score_mean'])} ({limits}, sd {text(row['score_sd'])}, {row['seeds']} seeds)"


def verdict_of(row: pd.Series) -> str:
    """`higher`, `lower` or `not shown to differ`; the last also where only the correction takes it away."""
    if row["verdict"] in (HIGHER, LOWER):
        return str(row["verdict"])
    corrected = "" if row["low"] <= 0 <= row["high"] else " after correction for several comparisons"
    return f"not shown to differ{corrected}"


def size_words(tables: Tables, row: pd.Series, unit: str = "", pattern: str = "{:+.2f}") -> str:
    """`+1.50 (95 % interval +1.00 to +2.00, adjusted p = 0.031; higher in 9 of 10 seeds)`."""
    size, low, high = (text(row[name], pattern) for name in ("difference", "low", "high"))
    seeds = f"higher in {row['better']} of {row['seeds']} seeds"
    return f"{size}{unit} ({level(tables)} {low} to {high}, adjusted {p_words(row['p_holm'])}; {seeds})"


def difference_words(tables: Tables, row: pd.Series) -> str:
    """What a comparison shows, behind the name of what is compared; says so where it shows nothing."""
    if row["verdict"] == NOT_COMPARED:
        return f"cannot be compared with {row['reference']} ({row['note']})"
    verdict, size = verdict_of(row), size_words(tables, row)
    if row["verdict"] in (HIGHER, LOWER):
        return f"is {verdict} than {row['reference']}: {size}"
    return f"is {verdict.replace('differ', 'differ from ' + row['reference'], 1)}: {size}"


def by_verdict(rows: pd.DataFrame) -> str:
    """`higher: a and b; lower: none; not shown to differ: c`, methods by their verdict."""
    words = {HIGHER: "higher", LOWER: "lower"}
    groups: dict[str, list[str]] = {"higher": [], "lower": [], "not shown to differ": [], "not compared": []}
    for row in table_rows(rows):
        missing = "not compared" if row.verdict == NOT_COMPARED else "not shown to differ"
        groups[words.get(row.verdict, missing)].append(row.method)
    told = [
        f"{name}: {listed(own) if own else 'none'}"
        for name, own in groups.items()
        if own or name != "not compared"
    ]
    return "; ".join(told)
