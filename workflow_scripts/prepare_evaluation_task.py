"""Adaptor of rule prepare_evaluation_task."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.config.data import EvaluationDataConfig, TrainDataConfig
from rlvr.data.prepare import prepare_evaluation_task

prepare_evaluation_task(
    task=snakemake.wildcards.task,
    config=build(EvaluationDataConfig, snakemake.params.data),
    train=build(TrainDataConfig | None, snakemake.params.train),
    data_root=snakemake.params.data_root,
    exclude=list(snakemake.input.exclude),
    problems_path=snakemake.output.problems,
    manifest_path=snakemake.output.manifest,
)
