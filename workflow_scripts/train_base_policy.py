"""Adaptor of rule train_base_policy."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.config.policy import BasePolicyConfig
from rlvr.training.base import prepare_base_policy

prepare_base_policy(
    config=build(BasePolicyConfig, snakemake.params.base),
    data_root=snakemake.params.data_root,
    device=snakemake.params.device,
    policy_path=snakemake.output.policy,
    metrics_path=snakemake.output.metrics,
    checkpoints_path=snakemake.params.checkpoints,
    evaluation_paths=list(snakemake.input.evaluation),
    code=snakemake.params.code,
)
