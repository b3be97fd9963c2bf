"""Adaptor of rule build_report."""

from rlvr.analysis.files import AnalysisFiles
from rlvr.joblog import log_to
from rlvr.report import ReportInputs, build_report

log_to(snakemake.log[0])
inputs = ReportInputs(
    analysis=AnalysisFiles.in_folder(snakemake.params.analysis_folder),
    figures=snakemake.params.figures_folder,
    manifest=snakemake.input.manifest,
    provenance=list(snakemake.input.provenance),
    provenance_labels=snakemake.params.runs,
)
build_report(inputs, snakemake.params.config, snakemake.output[0])
