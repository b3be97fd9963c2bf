"""Names of the files of the advantage study's analysis."""

from dataclasses import dataclass
from pathlib import Path

from rlvr.analysis.files import NamedFiles


@dataclass(frozen=True)
class AdvantageAnalysisFiles(NamedFiles):
    """Where the analysis of the advantage study writes, and where figures and page read."""

    JSON_FILES = ("findings",)

    scores: str | Path
    methods: str | Path
    comparisons: str | Path
    grpo: str | Path
    grpo_comparisons: str | Path
    findings: str | Path
