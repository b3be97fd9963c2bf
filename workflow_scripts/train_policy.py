"""Adaptor of rule train_policy."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.training.run import TrainingFiles, TrainingJob, train_policy

job = build(TrainingJob, snakemake.params.job)
files = TrainingFiles(**snakemake.input, **snakemake.output, checkpoints=snakemake.params.checkpoints)
train_policy(job, files, snakemake.resources.verification_workers, snakemake.params.code)
