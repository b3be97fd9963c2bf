"""Adaptor of rule build_advantage_report."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.report.advantage import AdvantageReportInputs, build_advantage_report

inputs = AdvantageReportInputs(
    analysis=Path(snakemake.input.findings).parent,
    figures=Path(snakemake.input.figures[0]).parent,
    estimators=snakemake.params.estimators,
    provenance=list(snakemake.input.provenance),
)
build_advantage_report(inputs, snakemake.params.config, snakemake.output[0])
