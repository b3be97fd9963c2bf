"""Adaptor of rule build_precision_report."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.analysis.files import AnalysisFiles
from rlvr.report.precision import ReportInputs, build_precision_report

inputs = ReportInputs(
    analysis=AnalysisFiles.in_folder(Path(snakemake.input.hypotheses).parent),
    figures=Path(snakemake.input.figures[0]).parent,
    manifest=snakemake.input.manifest,
    provenance=list(snakemake.input.provenance),
    labels=snakemake.params.runs,
    geometry=list(snakemake.input.geometry),
    overlap=snakemake.input.overlap,
)
build_precision_report(inputs, snakemake.params.config, snakemake.output[0])
