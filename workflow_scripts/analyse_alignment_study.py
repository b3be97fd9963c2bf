"""Adaptor of rule analyse_alignment_study."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.analysis.study import analyse_alignment_study
from rlvr.alignment.arms import Experiment
from rlvr.config.alignment import ComparisonConfig
from rlvr.config.build import build

analyse_alignment_study(
    config=build(ComparisonConfig, snakemake.params.comparison),
    experiments=build(list[Experiment], snakemake.params.experiments),
    arms=snakemake.params.arms,
    validation_files=list(snakemake.input.validation),
    metrics_files=list(snakemake.input.metrics),
    provenance_files=list(snakemake.input.provenance),
    prompts=snakemake.params.prompts,
    zero_shot_files=list(snakemake.input.zero_shot),
    prompt=snakemake.params.prompt,
    seeds=snakemake.params.seeds,
    files=AlignmentAnalysisFiles(**snakemake.output),
)
