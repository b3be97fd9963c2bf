"""Adaptor of rule draw_outcome_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.analysis.files import AnalysisFiles
from rlvr.config.build import build
from rlvr.config.precision import AnalysisConfig
from rlvr.figures.draw import draw_outcome_figures

draw_outcome_figures(
    analysis=AnalysisFiles.in_folder(Path(snakemake.input.hypotheses).parent),
    config=build(AnalysisConfig, snakemake.params.analysis),
    out_folder=Path(snakemake.output.svg[0]).parent,
)
