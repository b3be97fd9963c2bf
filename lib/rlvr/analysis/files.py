"""Names of the files of an analysis."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class AnalysisFiles:
    """Where the analysis of the precision study writes, and where figures and report read."""

    runs: str | Path
    arms: str | Path
    weights: str | Path
    drift: str | Path
    variance_components: str | Path
    hypotheses: str | Path
    gain: str | Path

    @classmethod
    def in_folder(cls, folder: str | Path) -> Self:
        """The files under their usual names in one folder."""
        folder = Path(folder)
        return cls(
            runs=folder / "runs.csv",
            arms=folder / "arms.csv",
            weights=folder / "weights.csv",
            drift=folder / "drift.csv",
            variance_components=folder / "variance_components.csv",
            hypotheses=folder / "hypotheses.json",
            gain=folder / "gain.json",
        )

    def by_name(self) -> dict[str, str]:
        """Paths as text by the names of the fields, as a workflow names inputs and outputs."""
        return {name: str(path) for name, path in asdict(self).items()}
