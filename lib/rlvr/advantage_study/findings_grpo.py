"""What the comparison in GRPO came to, in sentences that are computed from the tables."""

from collections.abc import Iterator

import pandas as pd

from rlvr.advantage_study.comparisons import NOT_COMPARED
from rlvr.advantage_study.grpo import METRICS, diverged_words
from rlvr.advantage_study.scores import mean_columns
from rlvr.advantage_study.words import Tables, level, listed, size_words, text, verdict_of
from rlvr.alignment.analysis.welch import HIGHER, LOWER
from rlvr.statistics.samples import POINTS

# How a metric is called, its unit behind a number, and the pattern of a difference.
WORDS = {
    "reward_last": ("The training reward of the last {steps} steps", "", "{:+.3f}"),
    "reward_all": ("The training reward of all steps", "", "{:+.3f}"),
    "accuracy_final": ("Held-out accuracy after training", " points", "{:+.1f}"),
}


def name_of(estimator: str) -> str:
    """An estimator's name without underscores."""
    return estimator.replace("_", " ")


def grpo_sentences(tables: Tables) -> Iterator[str]:
    """Means of every estimator, the differences, and what diverged."""
    trained = [name for name in tables.estimators if (tables.grpo["estimator"] == name).any()]
    if not trained:
        yield "No run of GRPO has a result."
        return
    yield f"Held-out accuracy after training: {listed([_accuracy(tables, name) for name in trained])}."
    rows = tables.grpo_comparisons
    for reference, own in rows.groupby("reference", sort=False):
        for metric in METRICS:
            yield from _metric(tables, metric, own[own["metric"] == metric])
        if not own["verdict"].isin([HIGHER, LOWER]).any():
            yield (
                f"So no effect against {name_of(str(reference))} was shown with "
                f"{tables.grpo['seed'].nunique()} seeds, which is no evidence that there is none: the "
                "intervals say how large one may be."
            )
    diverged = [words for name in tables.estimators if (words := diverged_words(tables.grpo, name))]
    if diverged:
        yield f"{listed(diverged)}; their numbers are in all means."
    without = [name_of(name) for name in tables.estimators if name not in trained]
    if without:
        yield f"There is no result of {listed(without)}."


def _accuracy(tables: Tables, name: str) -> str:
    own = tables.grpo.loc[tables.grpo["estimator"] == name, "accuracy_final"].dropna()
    mean, _, low, high = mean_columns(POINTS * own, tables.confidence)
    if len(own) < 2:
        known = f"{text(mean, '{:.1f}')} %" if len(own) else "unknown"
        return f"{name_of(name)} {known} (no interval)"
    return (
        f"{name_of(name)} {text(mean, '{:.1f}')} % ({level(tables)} {text(low, '{:.1f}')} to "
        f"{text(high, '{:.1f}')}, {len(own)} seeds)"
    )


def _metric(tables: Tables, metric: str, rows: pd.DataFrame) -> Iterator[str]:
    what, unit, pattern = WORDS[metric]
    told = []
    for _, row in rows.iterrows():
        name = name_of(row["estimator"])
        if row["verdict"] == NOT_COMPARED:
            told.append(f"{name} cannot be compared ({row['note']})")
        else:
            told.append(f"{name} {verdict_of(row)}, {size_words(tables, row, unit, pattern)}")
    if told:
        reference = name_of(rows["reference"].iloc[0])
        yield f"{what.format(steps=tables.score_steps)} against {reference} – {'; '.join(told)}."
