"""Names of the files of an analysis."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, Self


@dataclass(frozen=True)
class NamedFiles:
    """Files of an analysis, a field each; tables as CSV, but for those in JSON_FILES."""

    JSON_FILES: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def in_folder(cls, folder: str | Path) -> Self:
        """The files under their usual names in one folder."""
        names = (field.name for field in fields(cls))
        return cls(
            **{name: Path(folder) / f"{name}.{'json' if name in cls.JSON_FILES else 'csv'}" for name in names}
        )

    def by_name(self) -> dict[str, str]:
        """Paths as text by the names of the fields, as a workflow names inputs and outputs."""
        return {name: str(path) for name, path in asdict(self).items()}


@dataclass(frozen=True)
class AnalysisFiles(NamedFiles):
    """Where the analysis of the precision study writes, and where figures and report read.

    `missing` names the runs that are left out, and why; it has no row where none is.
    """

    JSON_FILES = ("hypotheses", "gain")

    runs: str | Path
    arms: str | Path
    modes: str | Path
    weights: str | Path
    drift: str | Path
    variance_components: str | Path
    hypotheses: str | Path
    gain: str | Path
    matches: str | Path
    predictions: str | Path
    missing: str | Path
