"""What the report says in sentences: the scale, the factors that differ, flags, scores near zero."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from rlvr.analysis.performance import NEAR_ZERO_ACCURACY
from rlvr.precision import MODES, resolve_mode
from rlvr.report_tables import Table

FACTOR_NAMES = {
    "master": "master weights", "reduce": "gradients", "rollout": "rollout weights",
    "deterministic": "determinism",
}  # fmt: skip


def _series(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _factors(mode: str, dropout_rate: float) -> dict[str, str]:
    """The factors of a mode as text."""
    record = asdict(resolve_mode(mode, dropout_rate))
    dropout = record.pop("dropout")
    record["dropout"] = f"{dropout['kind']} {dropout['rate']:g}" if dropout["rate"] else "none"
    del record["name"]
    words = {True: "yes", False: "no"}
    return {
        FACTOR_NAMES.get(key, key.replace("_", " ")): words[value] if isinstance(value, bool) else str(value)
        for key, value in record.items()
    }


def factors_table(arms: Sequence[str], dropout_rate: float) -> Table:
    """Factors in which the modes among `arms` differ."""
    modes = {arm: _factors(arm, dropout_rate) for arm in arms if arm in MODES}
    names = next(iter(modes.values()), {})
    rows = [(name, *(mode[name] for mode in modes.values())) for name in names]
    return Table(
        "Factors in which the arms differ", ("factor", *modes), tuple(r for r in rows if len(set(r[1:])) > 1)
    )


def factor_sentences(arms: Sequence[str], reference: str, dropout_rate: float) -> list[str]:
    """For each arm: in which factors it differs from the reference, and what that forbids to conclude."""
    sentences = []
    for arm in arms:
        if arm == reference:
            continue
        if arm not in MODES or reference not in MODES:
            sentences.append(
                f"{arm} or {reference} was trained elsewhere: which factors differ is not known here."
            )
            continue
        own, other = _factors(arm, dropout_rate), _factors(reference, dropout_rate)
        differing = [name for name in own if own[name] != other[name]]
        if not differing:
            sentences.append(
                f"{arm} and {reference} have the same factors: they cannot differ but by chance."
            )
        elif len(differing) == 1:
            sentences.append(f"{arm} differs from {reference} in {differing[0]} alone.")
        else:
            sentences.append(
                f"{arm} differs from {reference} in {_series(differing)} at once; this comparison alone "
                "cannot say which of them acts."
            )
    return sentences


def scale_sentence(config: Mapping[str, Any], runs: pd.DataFrame, weights: pd.DataFrame) -> str:
    """At which scale the results were shown: policy, parameters, training, tasks, seeds."""
    base, training = config["base"], config["precision"]["training"]
    count = weights["weights"].dropna()
    size = f" with {int(count.iloc[0]):,} weights" if len(count) else ""
    if base["kind"] == "tiny":
        policy, caution = (
            "a small policy trained from scratch",
            " Nothing here carries over to larger models by itself.",
        )
    else:
        policy, caution = f"the pretrained policy {base['path']}", ""
    tasks = list(dict.fromkeys(runs["task"]))
    on_task = [task for task in tasks if runs.loc[runs["task"] == task, "on_task"].all()]
    seeds = runs.groupby("arm", sort=False)["seed"].nunique()
    return (
        f"All this was shown on {policy}{size}: {training['steps']} steps of "
        f"{training['prompts_per_step']} prompts × {training['group_size']} rollouts, learning rate "
        f"{training['optimizer']['learning_rate']:g}, on-task {_series(on_task)}, evaluated on "
        f"{_series(tasks)}; seeds: "
        f"{_series([f'{arm} {number}' for arm, number in seeds.items()])}.{caution}"
    )


def near_zero_sentences(runs: pd.DataFrame) -> list[str]:
    """Tasks on which neither the base nor any run solves anything to speak of."""
    sentences = []
    for task, own in runs.groupby("task", sort=False):
        base, best = own["base_accuracy"].iloc[0], own["accuracy"].max()
        if max(base, best) < NEAR_ZERO_ACCURACY:
            sentences.append(
                f"Accuracy on {task} is near zero everywhere (base {100 * base:.1f} %, best run "
                f"{100 * best:.1f} %): this policy cannot do the task, and comparisons of arms on it say "
                "next to nothing."
            )
    return sentences


def repeat_sentences(components: pd.DataFrame) -> list[str]:
    """What repeats of the same seed showed, where there were any."""
    sentences = []
    repeats = components[components["component"] == "non_determinism"]
    for arm, own in repeats.groupby("arm", sort=False):
        identical = own["note"].fillna("").str.contains("identical").all()
        if identical:
            sentences.append(
                f"{arm}: repeats of each seed ended in identical weights; no non-determinism was seen."
            )
        else:
            largest = own["sd_points"].max()
            size = "below what these runs can see" if pd.isna(largest) else f"up to {largest:.2f} points (sd)"
            sentences.append(
                f"{arm}: repeats of the same seed ended in different weights; their spread is {size}."
            )
    return sentences


def note_sentences(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the runs noted about themselves, such as a mode that changes nothing for this model; each once."""
    return list(dict.fromkeys(note for record in records for note in record.get("notes", ())))
