"""Adaptor of rule draw_precision_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.analysis.files import AnalysisFiles
from rlvr.config.build import build
from rlvr.config.precision import AnalysisConfig
from rlvr.figures.draw import draw_precision_figures

draw_precision_figures(
    analysis=AnalysisFiles.in_folder(Path(snakemake.input.hypotheses).parent),
    config=build(AnalysisConfig, snakemake.params.analysis),
    metrics_files=list(snakemake.input.metrics),
    metrics_labels=snakemake.params.runs,
    geometry_files=list(snakemake.input.geometry),
    overlap_file=snakemake.input.overlap,
    out_folder=Path(snakemake.output.svg[0]).parent,
)
