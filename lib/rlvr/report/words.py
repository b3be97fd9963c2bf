"""What the report says in sentences: the scale, the factors that differ, flags, scores near zero."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from rlvr.analysis.load import SEED_REPEAT
from rlvr.analysis.performance import NEAR_ZERO_ACCURACY
from rlvr.precision import MODES
from rlvr.report.page import Table
from rlvr.table_rows import table_rows

FACTOR_NAMES = {
    "master": "master weights", "reduce": "gradients", "rollout": "rollout weights",
    "deterministic": "determinism",
}  # fmt: skip
INERT = " (cannot act here)"


def _series(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


@dataclass(frozen=True)
class Factor:
    """A factor of an arm as text: as its mode states it, and as it acts (as fp32's where it cannot act)."""

    stated: str
    acting: str


def _text(factor: str, value: Any) -> str:
    if factor == "dropout":
        return f"{value['kind']} {value['rate']:g}" if value["rate"] else "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _factors(records: Sequence[Mapping[str, Any]]) -> dict[str, Factor]:
    """The factors of an arm from the provenance of its runs; inert is what cannot act in any of them."""
    inert = set.intersection(*(set(record.get("inert", ())) for record in records))
    neutral = asdict(MODES["fp32"])
    factors = {}
    for factor, value in records[0]["mode"].items():
        if factor != "name":
            stated = _text(factor, value)
            acting = _text(factor, neutral[factor]) if factor in inert else stated
            factors[FACTOR_NAMES.get(factor, factor.replace("_", " "))] = Factor(stated, acting)
    return factors


def arm_factors(
    records: Sequence[Mapping[str, Any]], labels: Sequence[Sequence[Any]]
) -> dict[str, dict[str, Factor]]:
    """The factors of every arm trained here, as its runs had them; `labels` are (arm, seed, repeat)."""
    arms: dict[str, list[Mapping[str, Any]]] = {}
    for record, (arm, _, _) in zip(records, labels, strict=True):
        arms.setdefault(arm, []).append(record)
    return {arm: _factors(own) for arm, own in arms.items()}


def factors_table(factors: Mapping[str, Mapping[str, Factor]]) -> Table:
    """Factors in which the arms differ, those that cannot act here marked."""
    names = next(iter(factors.values()), {})
    rows = []
    for name in names:
        values = [own[name] for own in factors.values()]
        if len({value.stated for value in values}) > 1:
            marks = (INERT if value.stated != value.acting else "" for value in values)
            rows.append((name, *(value.stated + mark for value, mark in zip(values, marks, strict=True))))
    return Table("Factors in which the arms differ", ("factor", *factors), tuple(rows))


def factor_sentences(
    arms: Sequence[str], reference: str, factors: Mapping[str, Mapping[str, Factor]]
) -> list[str]:
    """For each arm: in which factors it differs from the reference, and what that forbids to conclude."""
    sentences = []
    for arm in arms:
        if arm == reference:
            continue
        if arm in factors and reference in factors:
            sentences.append(_factor_sentence(arm, reference, factors[arm], factors[reference]))
        else:
            sentences.append(
                f"{arm} or {reference} was trained elsewhere: which factors differ is not known here."
            )
    return sentences


def _factor_sentence(arm: str, reference: str, own: Mapping[str, Factor], other: Mapping[str, Factor]) -> str:
    acting = [name for name, factor in own.items() if factor.acting != other[name].acting]
    stated = [name for name, factor in own.items() if factor.stated != other[name].stated]
    idle = [name for name in stated if name not in acting]
    beside = f" They are also set apart in {_series(idle)}, which cannot act here." if idle else ""
    if not acting:
        return f"{arm} and {reference} have the same factors here: what they differ in is chance.{beside}"
    if len(acting) == 1:
        return f"{arm} differs from {reference} in {acting[0]} alone.{beside}"
    return (
        f"{arm} differs from {reference} in {_series(acting)} at once; this comparison alone cannot say "
        f"which of them acts.{beside}"
    )


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
        if record["mode"]["name"] in MODES
        and MODES[record["mode"]["name"]].dropout.rate
        and not record["mode"]["dropout"]["rate"]
    )
    return [
        f"{mode} was trained with a dropout rate of 0 (precision.dropout_rate): it is {mode} without "
        "dropout, and dropout cannot be a cause of any difference."
        for mode in without
    ]


def same_weights_sentences(runs: pd.DataFrame) -> list[str]:
    """Pairs of arms whose runs ended in identical weights in every seed that both have."""
    seeds = runs[runs["rep"] == SEED_REPEAT].drop_duplicates(["arm", "seed"])
    hashes = {str(arm): own.set_index("seed")["weight_hash"] for arm, own in seeds.groupby("arm", sort=False)}
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


def perfectible_sentences(manifest: Mapping[str, Any], modes: pd.DataFrame) -> list[str]:
    """What a run must reach that was trained on perfectible problems only, and what each arm reached.

    `modes`: the rows of modes.csv.
    """
    counts = manifest["train"].get("perfectible")
    if counts is None:
        return []
    accuracies = modes.dropna(subset=["training_accuracy"])
    reached = _series([f"{row.arm} {100 * row.training_accuracy:.0f} %" for row in table_rows(accuracies)])
    return [
        f"Trained on the {counts['kept']:,} of {counts['problems']:,} problems that the base solves in "
        f"{100 * counts['lowest']:g} to {100 * counts['highest']:g} % of {counts['samples']} samples "
        f"({counts['too_hard']:,} less often, {counts['too_easy']:,} more often). On these a sound algorithm "
        "must come near 100 % training accuracy given enough steps, so an arm that stalls or collapses is at "
        "fault itself, not its data; a curve that still rises has not stalled. In the last tenth of the "
        f"steps: {reached}; the whole way is in the training curves."
    ]


def missing_sentences(missing: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Which arms lack runs that the study should have; `missing`: the rows of missing.csv."""
    there = set(runs["arm"])
    sentences = []
    for arm, own in missing.groupby("arm", sort=False):
        seeds = sorted(set(own["seed"]))
        which = f"seed{'s' * (len(seeds) > 1)} {_series([str(seed) for seed in seeds])}"
        if arm in there:
            sentences.append(f"Left out of every number here: runs of {arm}, {which}.")
        else:
            sentences.append(f"Left out of every number here: all runs of {arm}, {which}.")
    return sentences


def uncompared_sentence(runs: pd.DataFrame, missing: pd.DataFrame, reference: str) -> str:
    """Why there is no arm to compare with the reference."""
    there, lost = list(dict.fromkeys(runs["arm"])), list(dict.fromkeys(missing["arm"]))
    if reference not in there:
        return (
            f"Nothing was compared: all runs of the reference arm, {reference}, are left out. The scores of "
            f"{_series(there)} stand by themselves below."
        )
    others = [arm for arm in lost if arm not in there]
    if others:
        return f"Nothing was compared with {reference}: all runs of {_series(others)} are left out."
    return f"Nothing was compared: the study has no other arm than {reference}."
