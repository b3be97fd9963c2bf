"""The tables of the advantage study's page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rlvr.report.alignment_tables import provenance_tables as arm_tables
from rlvr.report.page import Table, number
from rlvr.statistics.samples import POINTS
from rlvr.table_rows import table_rows

PARTS = {
    "comparison": "Comparison: each with batch statistics, and each moving average with the buffer",
    "sweep": "Sweep: buffers named by size and least count, each with the buffer",
    "variants": "Variants: each with its plain method, and accumulating ones with accumulating batch "
    "statistics",
}
METRICS = {
    "reward_last": "training reward, last steps",
    "reward_all": "training reward, all steps",
    "accuracy_final": "held-out accuracy, points",
}
FILES = (
    ("reference/{method}/rewards.csv", "mean reward of each seed and epoch (seed, epoch, reward)"),
    ("reference/{method}/scores.csv", "score of each seed (seed, score)"),
    (
        "reference/{method}/statistics.npz",
        "what the tracker held of each prompt after each epoch: arrays seed (S), prompt (S, P), epoch (E), "
        "mean, std and count (S, E, P); NaN and 0 where a prompt was not drawn so far",
    ),
    ("grpo/{estimator}/", "metrics, validations, generations, policies and provenance of the GRPO runs"),
    ("analysis/", "the tables of this page as CSV, and findings.json"),
    ("figures/", "the figures as SVG and PDF, and their numbers as CSV"),
)


def _interval(low: float, high: float, pattern: str) -> str:
    words = f"{number(low, pattern)} to {number(high, pattern)}"
    return "–" if pd.isna(low) else words.replace(" ", "\N{NO-BREAK SPACE}")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _table(caption: str, head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Table:
    """The table; its last column, the notes, only where there is one."""
    if any(row[-1] for row in rows):
        return Table(caption, head, rows)
    return Table(caption, head[:-1], tuple(row[:-1] for row in rows))


def methods_table(methods: pd.DataFrame) -> Table:
    """Every method with its settings and its score."""
    rows = tuple(
        (
            row.method,
            row.part,
            row.tracker,
            number(row.buffer_size, "{:.0f}"),
            number(row.min_count, "{:.0f}"),
            number(row.decay, "{:g}"),
            "all" if row.accumulate else "the last",
            _text(row.statistics) or "–",
            str(row.seeds),
            number(row.score_mean, "{:.2f}"),
            _interval(row.score_low, row.score_high, "{:.2f}"),
            number(row.score_sd, "{:.2f}"),
            _text(row.note),
        )
        for row in table_rows(methods)
    )
    head = (
        "method", "part", "tracker", "buffer size", "least count", "decay", "updates of a slot", "statistics",
        "seeds", "mean score", "interval", "sd", "note",
    )  # fmt: skip
    return _table("Methods: score on the reference problem", head, rows)


def _difference_cells(row: Any, pattern: str) -> tuple[str, ...]:
    return (
        number(row.difference, pattern),
        _interval(row.low, row.high, pattern),
        number(row.p, "{:.2g}"),
        number(row.p_holm, "{:.2g}"),
        f"{row.better} of {row.seeds}",
        row.verdict,
        _text(row.note),
    )


HEAD = ("difference", "interval", "p", "p (Holm)", "seeds higher", "verdict", "note")


def comparisons_table(part: str, comparisons: pd.DataFrame) -> Table:
    """The comparisons of one part of the study."""
    rows = tuple(
        (row.method, row.reference, *_difference_cells(row, "{:+.2f}")) for row in table_rows(comparisons)
    )
    return _table(PARTS.get(part, part), ("method", "against", *HEAD), rows)


def grpo_table(runs: pd.DataFrame) -> Table:
    """Every run of GRPO."""
    rows = tuple(
        (
            row.estimator.replace("_", " "),
            str(row.seed),
            str(row.steps),
            number(row.reward_last, "{:.3f}"),
            number(row.reward_all, "{:.3f}"),
            number(POINTS * row.accuracy_start, "{:.1f}"),
            number(POINTS * row.accuracy_final, "{:.1f}"),
            number(row.gain_points, "{:+.1f}"),
            "yes" if row.diverged else "no",
        )
        for row in table_rows(runs)
    )
    head = (
        "estimator", "seed", "steps", "reward, last steps", "reward, all steps", "accuracy before, %",
        "accuracy after, %", "gain, points", "diverged",
    )  # fmt: skip
    return Table("GRPO: every run", head, rows)


def grpo_comparisons_table(comparisons: pd.DataFrame) -> Table:
    """Estimators against one another, metric by metric."""
    rows = tuple(
        (
            METRICS[row.metric],
            row.estimator.replace("_", " "),
            row.reference.replace("_", " "),
            *_difference_cells(row, "{:+.1f}" if row.metric == "accuracy_final" else "{:+.3f}"),
        )
        for row in table_rows(comparisons)
    )
    return _table("GRPO: estimators compared", ("what", "estimator", "against", *HEAD), rows)


def files_table(name: str) -> Table:
    """Where the files of the study are."""
    rows = tuple((f"results/{name}/advantage/{path}", what) for path, what in FILES)
    return Table("Files", ("path", "what it holds"), rows)


def provenance_tables(estimators: Sequence[str], records: Sequence[Mapping[str, Any]]) -> list[Table]:
    """What the GRPO runs share, and the weights of each; ValueError unless there is a record of each."""
    named = [{**record, "arm": name} for name, record in zip(estimators, records, strict=True)]
    return arm_tables(named) if named else []
