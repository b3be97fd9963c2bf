"""Adaptor of rule draw_repair_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.figures.repair import draw_repair_figures

folder = Path(snakemake.output.svg[0]).parent
draw_repair_figures(snakemake.input.results, snakemake.input.variance, folder)
