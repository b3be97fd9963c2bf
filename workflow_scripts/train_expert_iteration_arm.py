"""Adaptor of rule train_expert_iteration_arm."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.alignment.expert_iteration import train_expert_iteration_arm
from rlvr.alignment.job import ArmFiles, ArmInputs, ExpertIterationJob
from rlvr.config.build import build

job = build(ExpertIterationJob, snakemake.params.job)
files = ArmFiles(**snakemake.output, checkpoints=snakemake.params.checkpoints)
workers = snakemake.resources.verification_workers
train_expert_iteration_arm(job, ArmInputs(**snakemake.input), files, workers, snakemake.params.code)
