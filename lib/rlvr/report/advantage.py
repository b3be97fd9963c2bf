"""The page of the advantage study: findings, figures and tables of the reference problem and of GRPO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.advantage_study.files import AdvantageAnalysisFiles
from rlvr.alignment.analysis.welch import HIGHER, LOWER, NO_DIFFERENCE
from rlvr.figures.advantage_captions import ADVANTAGE_CAPTIONS
from rlvr.files import read_json
from rlvr.report.advantage_tables import (
    comparisons_table,
    files_table,
    grpo_comparisons_table,
    grpo_table,
    methods_table,
    provenance_tables,
)
from rlvr.report.alignment_tables import VERDICTS_IN_WORDS
from rlvr.report.page import as_yaml, read_figures, write_page

DATA_FILES = ("advantage.html",)
GRPO_FIGURES = ("advantage_grpo",)


@dataclass(frozen=True)
class AdvantageReportInputs:
    """Files that the page reads.

    `analysis` and `figures` are folders, of its tables and of the SVG files. `provenance`: one of each of
    `estimators`, in the same order.
    """

    analysis: str | Path
    figures: str | Path
    estimators: Sequence[str]
    provenance: Sequence[str | Path]

    @property
    def tables(self) -> AdvantageAnalysisFiles:
        """The files of the analysis."""
        return AdvantageAnalysisFiles.in_folder(self.analysis)


def build_advantage_report(
    inputs: AdvantageReportInputs, config: Mapping[str, Any], out_path: str | Path
) -> None:
    """Write the page; `config` is the validated config's name and section `advantage`."""
    tables, figures = inputs.tables, read_figures(inputs.figures, ADVANTAGE_CAPTIONS, out_path)
    found = read_json(tables.findings)
    methods, comparisons = pd.read_csv(tables.methods), pd.read_csv(tables.comparisons)
    runs, compared = pd.read_csv(tables.grpo), pd.read_csv(tables.grpo_comparisons)
    records = [read_json(path) for path in inputs.provenance]
    section = config["advantage"]
    content = {
        "name": config["name"],
        "heading": "statistics of each prompt's rewards",
        "lead": "Page of the advantage study: does it help to normalise a reward by what its own prompt has "
        "brought in before, rather than by the batch?",
        "problem": section["reference"]["problem"],
        "seeds": section["reference"]["seeds"],
        "sweep_seeds": section["reference"]["sweep"]["seeds"],
        "confidence": f"{100 * section['reference']['confidence']:g}",
        "grpo": section["grpo"],
        "verdicts": {word: VERDICTS_IN_WORDS[word] for word in (HIGHER, LOWER, NO_DIFFERENCE)},
        "findings": [one for one in found if one["group"] != "grpo"],
        "grpo_findings": [one for one in found if one["group"] == "grpo"],
        "figures": [one for one in figures if one["name"] not in GRPO_FIGURES],
        "grpo_figures": [one for one in figures if one["name"] in GRPO_FIGURES],
        "methods": methods_table(methods),
        "comparisons": [
            comparisons_table(str(part), own) for part, own in comparisons.groupby("part", sort=False)
        ],
        "grpo_tables": [grpo_table(runs), grpo_comparisons_table(compared)],
        "files": files_table(config["name"]),
        "configuration": as_yaml(config),
        "provenance": provenance_tables(inputs.estimators, records),
    }
    write_page("advantage", content, out_path)
