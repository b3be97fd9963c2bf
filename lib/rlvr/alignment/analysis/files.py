"""Names of the files of the alignment study's analysis."""

from dataclasses import dataclass
from pathlib import Path

from rlvr.analysis.files import NamedFiles


@dataclass(frozen=True)
class AlignmentAnalysisFiles(NamedFiles):
    """Where the analysis of the alignment study writes, and where figures and report read."""

    JSON_FILES = ("findings",)

    curves: str | Path
    arms: str | Path
    comparisons: str | Path
    leaderboard: str | Path
    findings: str | Path
