"""Adaptor of rule train_base_policy."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus
from rlvr.training.owner import own_until_exit

log_to(snakemake.log[0])
own_until_exit(snakemake.params.checkpoints, snakemake.resources.checkpoint_lock)
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

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
