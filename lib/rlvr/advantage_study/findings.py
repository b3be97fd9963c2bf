"""What was found, in sentences that are computed from the tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from rlvr.advantage_study.comparisons import NOT_COMPARED, Pair, compare_pairs
from rlvr.advantage_study.findings_grpo import grpo_sentences
from rlvr.advantage_study.scores import finite_scores
from rlvr.advantage_study.words import Tables, by_verdict, difference_words, listed, score_words, text
from rlvr.alignment.analysis.welch import LOWER
from rlvr.table_rows import table_rows

TITLES = {
    "comparison": "Statistics of each prompt against those of the batch",
    "decays": "Which decay of the moving average",
    "sweep": "Buffer size and least count",
    "variants": "Variants of the update and of the statistics",
    "grpo": "In GRPO, with small groups",
}


def findings(tables: Tables) -> list[dict[str, Any]]:
    """Group, title and sentences of every part of the study, in the order of TITLES."""
    sentences = {
        "comparison": _comparison(tables),
        "decays": _decays(tables),
        "sweep": _sweep(tables),
        "variants": _variants(tables),
        "grpo": grpo_sentences(tables),
    }
    return [
        {"group": name, "title": title, "sentences": list(sentences[name])} for name, title in TITLES.items()
    ]


def _comparison(tables: Tables) -> Iterator[str]:
    yield f"With batch statistics a run scores {score_words(tables, 'batch')}."
    buffer = tables.compared("comparison", "buffer", "batch")
    if buffer is not None:
        yield (
            f"With the buffer of each prompt's last rewards it scores {score_words(tables, 'buffer')}, which "
            f"{difference_words(tables, buffer)}."
        )
    rows = tables.comparisons
    rows = rows[
        (rows["part"] == "comparison") & (rows["reference"] == "batch") & (rows["method"] != "buffer")
    ]
    if len(rows):
        yield f"Moving averages against batch statistics – {by_verdict(rows)}."
    yield from _missing(tables, "comparison")


def _missing(tables: Tables, part: str) -> Iterator[str]:
    own = tables.methods[(tables.methods["part"] == part) & (tables.methods["note"] != "")]
    if len(own):
        yield f"Incomplete: {'; '.join(f'{row.method}, {row.note}' for row in table_rows(own))}."


def _best(rows: pd.DataFrame) -> str | None:
    known = rows[rows["score_mean"].notna()]
    return None if known.empty else str(known["method"].iloc[known["score_mean"].argmax()])


def _decays(tables: Tables) -> Iterator[str]:
    methods = tables.methods
    own = methods[(methods["part"] == "comparison") & (methods["tracker"] == "ema")]
    best = _best(own)
    if best is None:
        yield "No run of a moving average has a finite score."
        return
    decays = listed([f"{decay:g}" for decay in own["decay"]])
    yield (
        f"Of the decays {decays}, {_decay(tables, best)} has the highest mean score: "
        f"{score_words(tables, best)}."
    )
    against = tables.compared("comparison", best, "buffer")
    if against is not None:
        yield f"It {difference_words(tables, against)}."
    if len(own) > 1:
        yield (
            f"It is the best of {len(own)} by the same numbers, so its mean is flattered, and the intervals "
            f"do not allow for the choice{_rivals(tables, best, list(own['method']))}."
        )
    rows = tables.comparisons
    rows = rows[(rows["part"] == "comparison") & (rows["reference"] == "buffer")]
    if len(rows):
        yield f"Every decay against the buffer – {by_verdict(rows)}."


def _decay(tables: Tables, name: str) -> str:
    method = tables.method(name)
    assert method is not None  # it is one of the table
    return f"{method['decay']:g}"


def _rivals(tables: Tables, best: str, names: Sequence[str]) -> str:
    """Which of the others are lower than the best by a test of their own, and which are not told apart."""
    own = finite_scores(tables.scores, best)
    pairs = [
        Pair({"method": name, "reference": best}, finite_scores(tables.scores, name), own)
        for name in names
        if name != best
    ]
    rows = compare_pairs(pairs, tables.confidence)
    open_ones = [_decay(tables, row["method"]) for row in rows if row["verdict"] not in (LOWER, NOT_COMPARED)]
    if not open_ones:
        return "; the others are lower" if rows and all(row["verdict"] == LOWER for row in rows) else ""
    return f"; {listed(open_ones)} cannot be told apart from it (paired tests, Holm)"


def _sweep(tables: Tables) -> Iterator[str]:
    rows = tables.comparisons[tables.comparisons["part"] == "sweep"]
    if rows.empty:
        yield "The sweep has no cell besides the buffer itself."
        return
    standard = tables.method("buffer")
    if standard is not None:
        size, least = standard["buffer_size"], standard["min_count"]
        yield (
            f"{len(rows)} other pairs of buffer size and least count against the buffer of {size:g} rewards "
            f"from {least:g} on (named buffer-size-count) – {by_verdict(rows)}."
        )
    cells = tables.methods[tables.methods["part"] == "sweep"]
    best = _best(cells)
    if best is not None:
        means = cells["score_mean"].dropna()
        yield (
            f"Their means run from {text(means.min())} to {text(means.max())}; the highest is {best} with "
            f"{score_words(tables, best)}, the best of {len(cells)} by the same numbers."
        )
        yield from _against_best_average(tables, best)
    yield from _missing(tables, "sweep")


def _against_best_average(tables: Tables, cell: str) -> Iterator[str]:
    """Whether a moving average does more than a buffer of another size does."""
    methods = tables.methods
    average = _best(methods[(methods["part"] == "comparison") & (methods["tracker"] == "ema")])
    if average is None:
        return
    own, other = (finite_scores(tables.scores, name) for name in (average, cell))
    (row,) = compare_pairs([Pair({"method": average, "reference": cell}, own, other)], tables.confidence)
    if row["verdict"] != NOT_COMPARED:
        yield (
            f"The best moving average, {average}, {difference_words(tables, pd.Series(row))}; "
            "each is the best of its kind by the same numbers, for which this test is not adjusted."
        )


def _variants(tables: Tables) -> Iterator[str]:
    rows = tables.comparisons[tables.comparisons["part"] == "variants"]
    for name, own in rows.groupby("method", sort=False):
        against = "; it ".join(difference_words(tables, row) for _, row in own.iterrows())
        yield f"{name} scores {score_words(tables, str(name))}; it {against}."
    if rows.empty:
        yield "No variant was compared."
