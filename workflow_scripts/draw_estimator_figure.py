"""Adaptor of rule draw_estimator_figure."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.figures.advantage_grpo import draw_estimator_figure

draw_estimator_figure(
    estimators=snakemake.params.estimators,
    metrics_files=list(snakemake.input.metrics),
    validation_files=list(snakemake.input.validation),
    confidence=snakemake.params.confidence,
    out_folder=Path(snakemake.output.svg[0]).parent,
)
