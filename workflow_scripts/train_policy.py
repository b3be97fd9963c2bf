"""Adaptor of rule train_policy."""

from rlvr.config.build import build
from rlvr.joblog import log_to
from rlvr.training.run import TrainingFiles, TrainingJob, train_policy

log_to(snakemake.log[0])
job = build(TrainingJob, snakemake.params.job)
files = TrainingFiles(**snakemake.input, **snakemake.output, checkpoints=snakemake.params.checkpoints)
train_policy(job, files)
