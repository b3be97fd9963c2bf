"""Adaptor of rule draw_training_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.figures.draw import draw_training_figures

draw_training_figures(
    metrics_files=list(snakemake.input.metrics),
    metrics_labels=snakemake.params.runs,
    geometry_files=list(snakemake.input.geometry),
    overlap_file=snakemake.input.overlap,
    out_folder=Path(snakemake.output.svg[0]).parent,
)
