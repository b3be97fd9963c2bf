"""Adaptor of rule train_policy."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus
from rlvr.training.owner import own_until_exit

log_to(snakemake.log[0])
own_until_exit(snakemake.params.checkpoints, snakemake.resources.checkpoint_lock)
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.config.build import build
from rlvr.training.launch import launch_training
from rlvr.training.run import TrainingFiles
from rlvr.training.trainer import TrainingJob

job = build(TrainingJob, snakemake.params.job)
files = TrainingFiles(**snakemake.input, **snakemake.output, checkpoints=snakemake.params.checkpoints)
workers, gpus = snakemake.resources.verification_workers, snakemake.resources.gpu
launch_training(job, files, workers, snakemake.params.code, gpus)
