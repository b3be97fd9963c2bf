"""From evaluation results to tables, intervals and verdicts."""

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.study import analyse_precision_study

__all__ = ["AnalysisFiles", "analyse_precision_study"]
