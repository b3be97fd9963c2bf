"""Adaptor of rule build_repair_report."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.report.repair import RepairReportInputs, build_repair_report

inputs = RepairReportInputs(
    results=snakemake.input.results,
    known=snakemake.input.known,
    variance=snakemake.input.variance,
    provenance=snakemake.input.provenance,
    figures=Path(snakemake.input.figures[0]).parent,
)
build_repair_report(inputs, snakemake.params.config, snakemake.output[0])
