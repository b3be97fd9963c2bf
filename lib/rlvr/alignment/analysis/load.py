"""From the files of the alignment study to its arms, and to what is missing of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rlvr.alignment.arms import Experiment
from rlvr.errors import UserError
from rlvr.files import read_json

NEEDED = ("seed", "step", "seconds", "problems", "accuracy", "final", "diverged")


@dataclass(frozen=True)
class ArmSource:
    """The files of one arm."""

    method: str
    arm: str
    validation: str | Path
    metrics: str | Path
    provenance: str | Path


@dataclass(frozen=True)
class Arm:
    """One arm, all seeds. Tables as they were written, with numbers that are not finite as NaN.

    `prompt` is that of its validation. `missing` says what it should have and has not; "" if nothing.
    """

    method: str
    name: str
    prompt: str
    validation: pd.DataFrame
    metrics: pd.DataFrame
    settings: Mapping[str, Any]
    records: Mapping[int, Mapping[str, Any]]
    missing: str

    @property
    def final(self) -> pd.DataFrame:
        """The last row of each finished seed."""
        rows = self.validation
        return rows[rows["final"]].drop_duplicates("seed", keep="last").sort_values("seed")


@dataclass(frozen=True)
class AlignmentStudy:
    """All arms by (method, arm), the zero-shot row of each prompt, and what is to be compared.

    `zero_shot` lacks a prompt whose evaluation is not there; `prompt` is the default one. `seeds`: how many
    every arm should have.
    """

    arms: Mapping[tuple[str, str], Arm]
    zero_shot: Mapping[str, pd.Series]
    experiments: tuple[Experiment, ...]
    prompt: str
    seeds: int

    def start(self, prompt: str) -> float:
        """Zero-shot accuracy of a prompt; NaN where it was not measured."""
        return float(self.zero_shot[prompt]["accuracy"]) if prompt in self.zero_shot else np.nan


def _read_table(path: str | Path, needed: Sequence[str]) -> pd.DataFrame:
    table = pd.read_csv(path).replace([np.inf, -np.inf], np.nan)
    lacking = [column for column in needed if column not in table]
    if lacking:
        raise UserError(f"{path}: lacks the column(s) {', '.join(lacking)}; train or evaluate it again")
    return table


def _read_validation(path: str | Path) -> pd.DataFrame:
    table = _read_table(path, NEEDED)
    reasons = table["reason"].astype(object).fillna("") if "reason" in table else ""
    flags = {name: table[name].fillna(False).astype(bool) for name in ("final", "diverged")}
    return table.assign(**flags, reason=reasons)


def _missing_words(validation: pd.DataFrame, seeds: int) -> str:
    """`seed 3 of 3 has no final result`; empty where every seed has one."""
    done = set(validation.loc[validation["final"], "seed"])
    lost = [seed for seed in range(1, seeds + 1) if seed not in done]
    if not lost:
        return ""
    named = ", ".join(map(str, lost))
    return (
        f"seed{'s' * (len(lost) > 1)} {named} of {seeds} ha{'ve' if len(lost) > 1 else 's'} no final result"
    )


def _load_arm(source: ArmSource, prompt: str, seeds: int) -> Arm:
    files = (source.validation, source.metrics, source.provenance)
    absent = [str(path) for path in files if not Path(path).is_file()]
    if absent:
        nothing = pd.DataFrame(columns=[*NEEDED, "reason"]).astype({"final": bool, "diverged": bool})
        reason = f"not trained ({', '.join(Path(path).name for path in absent)} not there)"
        return Arm(source.method, source.arm, prompt, nothing, pd.DataFrame(), {}, {}, reason)
    validation = _read_validation(source.validation)
    provenance = read_json(source.provenance)
    return Arm(
        method=source.method,
        name=source.arm,
        prompt=provenance["settings"].get("prompt", prompt),
        validation=validation,
        metrics=_read_table(source.metrics, ("seed", "step")),
        settings=provenance["settings"],
        records={int(record["seed"]): record for record in provenance["runs"]},
        missing=_missing_words(validation, seeds),
    )


def load_alignment_study(
    sources: Sequence[ArmSource],
    zero_shot: Mapping[str, str | Path],
    experiments: Sequence[Experiment],
    prompt: str,
    seeds: int,
) -> AlignmentStudy:
    """Read all arms and the zero-shot validation.csv of each prompt.

    A file that is not there leaves its arm (or its prompt) without numbers, and named. UserError where an
    arm is there twice, an experiment names an arm without a source, or a table lacks a column.
    """
    arms: dict[tuple[str, str], Arm] = {}
    for source in sources:
        if (source.method, source.arm) in arms:
            raise UserError(f"the arm {source.method}/{source.arm} is given twice; give its files once")
        arms[source.method, source.arm] = _load_arm(source, prompt, seeds)
    for experiment in experiments:
        unknown = [arm for arm in experiment.arms if (experiment.method, arm) not in arms]
        if unknown:
            name = f"alignment.{experiment.method}.experiments.{experiment.name}"
            raise UserError(f"{name}: no files were given for the arm(s) {', '.join(unknown)}")
    starts = {
        name: _read_validation(path).iloc[-1] for name, path in zero_shot.items() if Path(path).is_file()
    }
    return AlignmentStudy(arms, starts, tuple(experiments), prompt, seeds)
