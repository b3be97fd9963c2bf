"""Names of the files of the alignment study's analysis."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class AlignmentAnalysisFiles:
    """Where the analysis of the alignment study writes, and where figures and report read."""

    curves: str | Path
    arms: str | Path
    comparisons: str | Path
    leaderboard: str | Path
    findings: str | Path

    @classmethod
    def in_folder(cls, folder: str | Path) -> Self:
        """The files under their usual names in one folder: tables as CSV, the findings as JSON."""
        names = (field.name for field in fields(cls))
        return cls(
            **{name: Path(folder) / f"{name}.{'json' if name == 'findings' else 'csv'}" for name in names}
        )

    def by_name(self) -> dict[str, str]:
        """Paths as text by the names of the fields, as a workflow names inputs and outputs."""
        return {name: str(path) for name, path in asdict(self).items()}
