"""The tables of the alignment study's page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from rlvr.alignment.analysis.welch import EQUIVALENT, HIGHER, LOWER, NO_DIFFERENCE
from rlvr.report.page import Table, number
from rlvr.report.provenance import flatten
from rlvr.table_rows import table_rows

CATEGORIES = {(1, 1): "right", (1, 0): "in the format, wrong", (0, 0): "not in the format"}
SHOWN = 5  # failures of each kind, and responses of each step
# What differs from run to run, and is shown by run.
RUN_KEYS = ("updates", "rollouts", "tokens_sampled", "tokens_trained", "seconds", "diverged", "reason")
# What a verdict says of the first of the two that are compared, for readers without statistics.
VERDICTS_IN_WORDS = {
    HIGHER: "it lies above the other, by more than the luck of the seeds would explain.",
    LOWER: "it lies below the other, by more than the luck of the seeds would explain.",
    EQUIVALENT: "the two are so near to one another that the difference does not matter.",
    NO_DIFFERENCE: "these runs cannot tell the two apart; more seeds might.",
}


def _percent(value: float | None, pattern: str = "{:.1f}") -> str:
    return number(None if value is None or pd.isna(value) else 100 * value, pattern)


def _interval(low: float, high: float, pattern: str) -> str:
    words = f"{number(low, pattern)} to {number(high, pattern)}"
    return "–" if pd.isna(low) else words.replace(" ", "\N{NO-BREAK SPACE}")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def categories_table(categories: Mapping[str, pd.DataFrame]) -> Table:
    """Responses of the base by prompt and pair of rewards."""
    rows = tuple(
        (
            prompt,
            CATEGORIES[int(row.format_reward), int(row.answer_reward)],
            f"{row.format_reward:g}",
            f"{row.answer_reward:g}",
            str(row.responses),
            _percent(row.share),
        )
        for prompt, table in categories.items()
        for row in table_rows(table.rename(columns={"count": "responses"}))
    )
    head = ("prompt", "response", "format reward", "answer reward", "responses", "share, %")
    return Table("Zero-shot responses by their rewards", head, rows)


def arms_table(arms: pd.DataFrame) -> Table:
    """Accuracy, gain and cost of arms, a row each."""
    rows = tuple(
        (
            row.arm,
            str(row.seeds),
            _percent(row.accuracy_mean),
            _interval(100 * row.accuracy_low, 100 * row.accuracy_high, "{:.1f}"),
            number(row.gain_points, "{:+.1f}"),
            _interval(row.gain_low, row.gain_high, "{:+.1f}"),
            number(row.entropy_last, "{:.3f}"),
            number(row.length_last, "{:.1f}"),
            number(row.grad_norm_mean, "{:.2f}"),
            number(row.updates_mean, "{:.0f}"),
            number(row.tokens_sampled_mean, "{:,.0f}"),
            number(row.train_seconds_mean, "{:.1f}"),
            str(row.diverged),
        )
        for row in table_rows(arms)
    )
    head = (
        "arm", "seeds", "final accuracy, %", "interval", "gain, points", "interval of the gain",
        "entropy, nats a token", "length, tokens", "gradient norm", "updates", "tokens sampled",
        "training, s", "seeds diverged",
    )  # fmt: skip
    return Table("Arms: means over seeds", head, rows)


def comparisons_table(comparisons: pd.DataFrame) -> Table:
    """Arms against the first of their experiment."""
    rows = tuple(
        (
            row.experiment.replace("_", " "),
            row.arm,
            row.reference,
            row.metric.replace("_", " "),
            number(row.difference_points, "{:+.3g}"),
            _interval(row.low, row.high, "{:+.3g}"),
            _text(row.unit),
            number(row.p_holm, "{:.2g}"),
            _text(row.verdict),
            _text(row.note),
        )
        for row in table_rows(comparisons)
    )
    head = (
        "experiment", "arm", "against", "what", "difference", "interval", "unit", "p (Holm)", "verdict",
        "note",
    )  # fmt: skip
    return Table("Comparisons", head, rows)


def leaderboard_table(leaderboard: pd.DataFrame) -> Table:
    """All policies, best first."""
    rows = tuple(
        (
            number(row.rank, "{:.0f}"),
            row.method.replace("_", " "),
            row.arm,
            _percent(row.accuracy_mean),
            _interval(100 * row.low, 100 * row.high, "{:.1f}"),
            str(row.seeds),
            number(row.updates_mean, "{:.0f}"),
            number(row.tokens_sampled_mean, "{:,.0f}"),
            number(row.train_seconds_mean, "{:.1f}"),
        )
        for row in table_rows(leaderboard)
    )
    head = (
        "rank", "method", "arm", "final accuracy, %", "interval", "seeds", "updates", "tokens sampled",
        "training, s",
    )  # fmt: skip
    return Table("Leaderboard", head, rows)


def _first_of_each(records: Sequence[Mapping[str, Any]], key: str) -> Iterator[Mapping[str, Any]]:
    seen: dict[Any, int] = {}
    for record in records:
        seen[record[key]] = seen.get(record[key], 0) + 1
        if seen[record[key]] <= SHOWN:
            yield record


def failures_table(prompt: str, failures: Sequence[Mapping[str, Any]]) -> Table:
    """Some failures of each kind, with what the verifier made of them."""
    rows = tuple(
        (
            failure["kind"].replace("_", " "),
            failure["prompt"],
            failure["response"],
            failure["ground_truth"],
            failure["extracted"],
            failure["rule"],
            failure["reason"],
        )
        for failure in _first_of_each(failures, "kind")
    )
    head = ("kind", "prompt", "response", "truth", "extracted", "by the rule", "verdict")
    return Table(f"Failures of the base under {prompt}", head, rows)


def generations_table(generations: Sequence[Mapping[str, Any]]) -> Table:
    """Some responses of the first seed at each validation."""
    first = min((record["seed"] for record in generations), default=0)
    own = [record for record in generations if record["seed"] == first]
    rows = tuple(
        (
            str(record["step"]),
            record["prompt"],
            record["response"],
            record["ground_truth"],
            number(record["reward"], "{:g}"),
            number(record["entropy"], "{:.2f}"),
            str(record["length"]),
        )
        for record in _first_of_each(own, "step")
    )
    head = ("step", "prompt", "response", "truth", "reward", "entropy, nats a token", "tokens")
    return Table(f"Responses of the default loop over time (seed {first})", head, rows)


def data_table(manifest: Mapping[str, Any]) -> Table:
    """The three data sets: rows, what was dropped, hash."""
    rows = tuple(
        (
            name,
            f"{entry['rows']:,}",
            f"{entry['rows_read']:,}",
            f"{entry['overlap_dropped']:,}",
            f"{entry['correct']:,}" if "correct" in entry else "–",
            entry["verifier"],
            entry["sha256"],
        )
        for name, entry in manifest.items()
    )
    head = ("data", "rows", "read", "in validation too, dropped", "correct", "verifier", "SHA-256")
    return Table("Data", head, rows)


def provenance_tables(records: Sequence[Mapping[str, Any]]) -> list[Table]:
    """What all arms share, and the weights and counts of every run."""
    flat = [flatten({key: value for key, value in record.items() if key != "runs"}) for record in records]
    keys = dict.fromkeys(key for own in flat for key in own)
    shared = [key for key in keys if len({own.get(key) for own in flat}) == 1]
    runs = tuple(
        (
            record["method"].replace("_", " "),
            record["arm"],
            str(run["seed"]),
            *(str(run.get(key, "–")) for key in RUN_KEYS),
            run["weight_hash"],
        )
        for record in records
        for run in record["runs"]
    )
    head = ("method", "arm", "seed", *(key.replace("_", " ") for key in RUN_KEYS), "weight hash")
    return [
        Table("The same in every arm", ("what", "value"), tuple((key, flat[0][key]) for key in shared)),
        Table("By run", head, runs),
    ]
