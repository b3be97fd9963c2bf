"""Adaptor of rule analyse_precision_study."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.study import analyse_precision_study
from rlvr.config.build import build
from rlvr.config.precision import AnalysisConfig

analyse_precision_study(
    config=build(AnalysisConfig, snakemake.params.analysis),
    on_task=snakemake.params.on_task,
    base_files=list(snakemake.input.base),
    run_files=list(snakemake.input.runs),
    files=AnalysisFiles(**snakemake.output),
    metrics_files=list(snakemake.input.metrics),
    metrics_labels=snakemake.params.runs,
    provenance_files=list(snakemake.input.provenance),
)
