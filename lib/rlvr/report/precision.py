"""One self-contained page on the precision study: verdicts first, then figures, tables and provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.hypothesis import BASES
from rlvr.figures.captions import CAPTIONS
from rlvr.files import read_json
from rlvr.report import provenance as records
from rlvr.report import tables, words
from rlvr.report.mechanism import geometry_table, overlap_table
from rlvr.report.modes import modes_table
from rlvr.report.page import as_yaml, read_figures, write_page
from rlvr.report.plain import plain_verdict

DATA_FILES = ("precision.html",)

QUESTIONS = {
    "H1": "On-task performance does not depend on precision",
    "H2": "Off-task performance varies more over seeds",
    "H3": "KL to the base: alike on-task, larger or more variable off-task",
}


@dataclass(frozen=True)
class ReportInputs:
    """Files that the report reads.

    `figures` is the folder of the SVG files; `labels` are (mode, seed, repeat) of `provenance`, in the same
    order; `geometry` has a table a mode.
    """

    analysis: AnalysisFiles
    figures: str | Path
    manifest: str | Path
    provenance: Sequence[str | Path]
    labels: Sequence[Sequence[Any]]
    geometry: Sequence[str | Path]
    overlap: str | Path


def _verdicts(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By arm and hypothesis: the whole claim at equal steps and at equal progress, each with its parts."""
    arms: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for claim in claims:
        found = arms.setdefault(claim["arm"], {}).setdefault(claim["id"], [])
        if claim["headline"]:
            found.append(
                {
                    "claim": claim,
                    "plain": plain_verdict(claim),
                    "basis": BASES[claim["basis"]],
                    "parts": [],
                }
            )
        else:
            found[-1]["parts"].append(claim)
    return [
        {
            "arm": arm,
            "reference": next(iter(found.values()))[0]["claim"]["reference"],
            "hypotheses": [
                {"id": name, "question": QUESTIONS[name], "bases": bases} for name, bases in found.items()
            ],
        }
        for arm, found in arms.items()
    ]


def _content(inputs: ReportInputs, config: Mapping[str, Any], out_path: str | Path) -> dict[str, Any]:
    """Everything that the template shows."""
    files = inputs.analysis
    runs, arms, modes, weights, components, predictions, missing = (
        pd.read_csv(path)
        for path in (
            files.runs, files.arms, files.modes, files.weights, files.variance_components, files.predictions,
            files.missing,
        )
    )  # fmt: skip
    claims, manifest = read_json(files.hypotheses), read_json(inputs.manifest)
    provenance = [read_json(path) for path in inputs.provenance]
    study = config["precision"]
    names, analysis = list(dict.fromkeys(arms["arm"])), study["analysis"]
    labels = inputs.labels
    factors = words.arm_factors(provenance, labels)
    return {
        "name": config["name"],
        "heading": "what precision does to RL with verifiable rewards",
        "lead": f"Report of the precision study. Reference arm: {analysis['reference']}.",
        "verdicts": _verdicts(claims),
        "gains": read_json(files.gain),
        "uncompared": "" if claims else words.uncompared_sentence(runs, missing, analysis["reference"]),
        "missing": tables.missing_table(missing),
        "warnings": [
            *words.missing_sentences(missing, runs),
            *words.near_zero_sentences(runs),
            *words.inert_sentences(provenance),
            *words.same_weights_sentences(runs),
        ],
        "scale": words.scale_sentence(config, runs, weights),
        "factors": words.factor_sentences(names, analysis["reference"], factors)
        + words.elsewhere_sentences(runs, labels),
        "factors_table": words.factors_table(factors),
        "notes": words.note_sentences(provenance) + words.repeat_sentences(components),
        "perfectible": words.perfectible_sentences(manifest, modes),
        "predictions": tables.predictions_table(predictions),
        "prediction_notes": tables.prediction_notes(predictions),
        "figures": read_figures(inputs.figures, CAPTIONS, out_path),
        "results": [
            modes_table(modes),
            tables.gains_table(arms, runs, analysis["confidence"]),
            tables.strata_table(runs),
            tables.kl_table(arms),
            tables.weights_table(weights),
        ],
        "mechanism": [geometry_table(inputs.geometry), overlap_table(inputs.overlap)] if labels else [],
        "details": [
            tables.claims_table(claims),
            tables.matches_table(pd.read_csv(files.matches)),
            tables.components_table(components),
            tables.pass_table(runs),
        ],
        "data": [*records.data_tables(manifest), records.prompts_table(provenance, labels)],
        "configuration": as_yaml(config),
        "provenance": records.provenance_tables(provenance, labels) if provenance else [],
    }


def build_precision_report(inputs: ReportInputs, config: Mapping[str, Any], out_path: str | Path) -> None:
    """Write the page; `config` is the whole validated config as a mapping, without what changes no result."""
    write_page("precision", _content(inputs, config, out_path), out_path)
