"""From evaluation results to tables, intervals and verdicts."""

from rlvr.analysis.files import AnalysisFiles

__all__ = ["AnalysisFiles"]
