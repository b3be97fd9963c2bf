"""Adaptor of rule analyse_advantage_study."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.advantage_study.analysis import analyse_advantage_study
from rlvr.advantage_study.files import AdvantageAnalysisFiles
from rlvr.advantage_study.methods import StudyMethod
from rlvr.config.build import build

analyse_advantage_study(
    methods=build(list[StudyMethod], snakemake.params.methods),
    score_files=list(snakemake.input.scores),
    estimators=snakemake.params.estimators,
    metrics_files=list(snakemake.input.grpo_metrics),
    validation_files=list(snakemake.input.grpo_validation),
    score_steps=snakemake.params.score_steps,
    confidence=snakemake.params.confidence,
    files=AdvantageAnalysisFiles(**snakemake.output),
)
