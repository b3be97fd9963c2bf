"""The analysis of a study of which some runs are missing: what is there is analysed, what is not is named."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.load import MissingRun, load_study
from rlvr.analysis.metrics import metrics_fault
from rlvr.analysis.modes import movable_shares, read_ends
from rlvr.analysis.study import write_analysis
from rlvr.config.build import build
from rlvr.config.precision import AnalysisConfig
from rlvr.errors import UserError
from rlvr.evaluation.records import RunLabel
from rlvr.files import read_json


def expected_runs(config: Mapping[str, Any]) -> dict[RunLabel, str]:
    """Every run of a validated config's precision study, and its folder below `precision/eval`."""
    study = config["precision"]
    seeds, repeats = range(1, study["seeds"] + 1), range(1, study["repeats"] + 1)
    trained = (RunLabel(mode, seed, rep) for mode in study["modes"] for seed in seeds for rep in repeats)
    folders = {label: f"{label.arm}/seed{label.seed}/rep{label.rep}" for label in trained}
    return folders | {
        RunLabel(policy["arm"], policy["seed"], 1): f"external/{policy['name']}"
        for policy in study["external_policies"]
    }


def _trained(results: Path, label: RunLabel, name: str) -> Path:
    """A file of a run's training."""
    return results / "train" / label.arm / f"seed{label.seed}" / f"rep{label.rep}" / name


def _faults(results: Path, label: RunLabel, files: list[Path]) -> Iterator[str]:
    absent = [file.name for file in files if not file.exists()]
    if absent:
        yield f"it has not been evaluated: {', '.join(absent)} is not there"
    if fault := metrics_fault(_trained(results, label, "metrics.csv")):
        yield fault


def _existing(results: Path, labels: Iterable[RunLabel], name: str) -> dict[tuple[str, int, int], Path]:
    """The files of that name that are there, by (arm, seed, repeat)."""
    files = {(label.arm, label.seed, label.rep): _trained(results, label, name) for label in labels}
    return {label: file for label, file in files.items() if file.exists()}


def analyse_existing(config: Mapping[str, Any], out_folder: str | Path) -> tuple[MissingRun, ...]:
    """Analyse the complete runs of a validated config; write everything into `out_folder`.

    Reads results/{name}/precision below the working directory. Returns what is missing or cannot be compared.
    UserError where the base or every run is missing.
    """
    results = Path("results") / config["name"] / "precision"
    evaluation = config["precision"]["evaluation"]

    def suites(folder: str) -> list[Path]:
        return [results / "eval" / folder / f"{suite}.json" for suite in evaluation["suites"]]

    absent = [str(file) for file in suites("base") if not file.exists()]
    if absent:
        raise UserError(f"the base has not been evaluated: {', '.join(absent)} is not there")
    runs = {label: suites(folder) for label, folder in expected_runs(config).items()}
    faults = {label: "; ".join(_faults(results, label, files)) for label, files in runs.items()}
    complete = [file for label, files in runs.items() if not faults[label] for file in files]
    analysis = build(AnalysisConfig, config["precision"]["analysis"])
    gone = [MissingRun(label, fault) for label, fault in faults.items() if fault]
    study = load_study(
        suites("base"), complete, evaluation["on_task"], analysis.reference, gone, partial=True
    )
    if not study.runs:
        raise UserError(f"no run of {results} is complete; first: {study.missing[0].reason}")
    metrics, provenance = (_existing(results, runs, name) for name in ("metrics.csv", "provenance.json"))
    ends = read_ends(list(metrics.values()), list(metrics))
    movable = movable_shares([read_json(file) for file in provenance.values()], list(provenance))
    write_analysis(study, analysis, AnalysisFiles.in_folder(out_folder), ends, movable)
    return study.missing
