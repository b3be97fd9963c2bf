"""Adaptor of rule prepare_estimator_data."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.advantage_study.estimators import EstimatorDataFiles, prepare_estimator_data
from rlvr.config.advantage import EstimatorDataConfig
from rlvr.config.build import build

prepare_estimator_data(
    build(EstimatorDataConfig, snakemake.params.data),
    snakemake.params.verifier,
    snakemake.params.data_root,
    EstimatorDataFiles(**snakemake.output),
)
