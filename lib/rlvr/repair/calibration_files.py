"""Names of the files that the repair study writes. Light: it imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class CalibrationFiles:
    """Outputs of a calibration, and its folder of checkpoints, which is none."""

    results: str
    summary: str
    transcripts: str
    provenance: str
    checkpoints: str

    @classmethod
    def in_folder(cls, folder: str | Path, checkpoints: str | Path) -> Self:
        """The files under their usual names."""
        folder = Path(folder)
        return cls(
            results=str(folder / "validation_results.json"),
            summary=str(folder / "VALIDATION_RESULTS.md"),
            transcripts=str(folder / "transcripts.jsonl.gz"),
            provenance=str(folder / "provenance.json"),
            checkpoints=str(checkpoints),
        )
