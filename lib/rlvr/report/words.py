"""What the report says in sentences: the scale, the factors that differ, flags, scores near zero."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from rlvr.analysis.load import SEED_REPEAT
from rlvr.analysis.performance import NEAR_ZERO_ACCURACY
from rlvr.precision import MODES
from rlvr.report.page import Table

FACTOR_NAMES = {
    "master": "master weights", "reduce": "gradients", "rollout": "rollout weights",
    "deterministic": "determinism",
}  # fmt: skip


def _series(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _factors(record: Mapping[str, Any]) -> dict[str, str]:
    """The factors of a run as text, from its provenance."""
    factors = {key: value for key, value in record["mode"].items() if key != "name"}
    dropout = factors.pop("dropout")
    factors["dropout"] = f"{dropout['kind']} {dropout['rate']:g}" if dropout["rate"] else "none"
    # On a CPU no kernel is non-deterministic: a mode that allows such kernels is no different for it.
    factors["deterministic"] = factors["deterministic"] or record["device"] == "cpu"
    words = {True: "yes", False: "no"}
    return {
        FACTOR_NAMES.get(key, key.replace("_", " ")): words[value] if isinstance(value, bool) else str(value)
        for key, value in factors.items()
    }


def arm_factors(
    records: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[Any]]
) -> dict[str, dict[str, str]]:
    """The factors of every arm trained here, as its runs had them; `labels` are (arm, seed, repeat)."""
    return {arm: _factors(record) for record, (arm, _, _) in zip(records, labels, strict=True)}


def factors_table(factors: Mapping[str, Mapping[str, str]]) -> Table:
    """Factors in which the arms differ."""
    names = next(iter(factors.values()), {})
    rows = ((name, *(own[name] for own in factors.values())) for name in names)
    return Table(
        "Factors in which the arms differ",
        ("factor", *factors),
        tuple(r for r in rows if len(set(r[1:])) > 1),
    )


def factor_sentences(
    arms: Sequence[str], reference: str, factors: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """For each arm: in which factors it differs from the reference, and what that forbids to conclude."""
    sentences = []
    for arm in arms:
        if arm == reference:
            continue
        if arm not in factors or reference not in factors:
            sentences.append(
                f"{arm} or {reference} was trained elsewhere: which factors differ is not known here."
            )
            continue
        differing = [name for name, value in factors[arm].items() if value != factors[reference][name]]
        if not differing:
            sentences.append(
                f"{arm} and {reference} have the same factors here: what they differ in is chance."
            )
        elif len(differing) == 1:
            sentences.append(f"{arm} differs from {reference} in {differing[0]} alone.")
        else:
            sentences.append(
                f"{arm} differs from {reference} in {_series(differing)} at once; this comparison alone "
                "cannot say which of them acts."
            )
    return sentences


def elsewhere_sentences(runs: pd.DataFrame, labels: Sequence[Sequence[Any]]) -> list[str]:
    """Arms that mix runs trained here with such from elsewhere."""
    here = {(arm, int(seed), int(rep)) for arm, seed, rep in labels}
    sentences = []
    for arm, own in runs.groupby("arm", sort=False):
        seeds = sorted({s for s, r in zip(own["seed"], own["rep"], strict=True) if (arm, s, r) not in here})
        if seeds and any(name == arm for name, _, _ in here):
            sentences.append(
                f"{arm} holds runs trained elsewhere too (seed {_series([str(seed) for seed in seeds])}); "
                "their factors are not known here."
            )
    return sentences


def inert_sentences(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Factors that a mode has by its name, but that were switched off in its runs."""
    without = dict.fromkeys(
        record["mode"]["name"]
        for record in records
        if MODES[record["mode"]["name"]].dropout.rate and not record["mode"]["dropout"]["rate"]
    )
    return [
        f"{mode} was trained with a dropout rate of 0 (precision.dropout_rate): it is {mode} without "
        "dropout, and dropout cannot be a cause of any difference."
        for mode in without
    ]


def same_weights_sentences(runs: pd.DataFrame) -> list[str]:
    """Pairs of arms whose runs ended in identical weights in every seed that both have."""
    seeds = runs[runs["rep"] == SEED_REPEAT].drop_duplicates(["arm", "seed"])
    hashes = {arm: own.set_index("seed")["weight_hash"] for arm, own in seeds.groupby("arm", sort=False)}
    sentences = []
    for one, other in combinations(hashes, 2):
        shared = hashes[one].index.intersection(hashes[other].index)
        if len(shared) and (hashes[one][shared] == hashes[other][shared]).all():
            sentences.append(
                f"{one} and {other} ended in identical weights in every seed that both have: here they are "
                "one arm, and no verdict on them says anything about precision."
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
    """What the runs noted about themselves, such as prompts that were left out; each once."""
    return list(dict.fromkeys(note for record in records for note in record.get("notes", ())))
