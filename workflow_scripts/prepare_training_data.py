"""Adaptor of rule prepare_training_data."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.config.data import TrainDataConfig
from rlvr.data.prepare import prepare_training_data

prepare_training_data(
    config=build(TrainDataConfig, snakemake.params.data),
    data_root=snakemake.params.data_root,
    evaluation_paths=list(snakemake.input.evaluation),
    problems_path=snakemake.output.problems,
    manifest_path=snakemake.output.manifest,
)
