"""Adaptor of rule train_sft_arm."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus
from rlvr.training.owner import own_until_exit

log_to(snakemake.log[0])
own_until_exit(snakemake.params.checkpoints, snakemake.resources.checkpoint_lock)
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.alignment.job import ArmFiles, ArmInputs, SftJob
from rlvr.alignment.sft import train_sft_arm
from rlvr.config.build import build

job = build(SftJob, snakemake.params.job)
files = ArmFiles(**snakemake.output, checkpoints=snakemake.params.checkpoints)
workers = snakemake.resources.verification_workers
train_sft_arm(job, ArmInputs(**snakemake.input), files, workers, snakemake.params.code)
