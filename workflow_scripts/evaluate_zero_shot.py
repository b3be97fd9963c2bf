"""Adaptor of rule evaluate_zero_shot."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus

log_to(snakemake.log[0])
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.alignment.zero_shot import ZeroShotFiles, ZeroShotJob, evaluate_zero_shot
from rlvr.config.build import build

job = build(ZeroShotJob, snakemake.params.job)
files = ZeroShotFiles(**snakemake.output)
workers = snakemake.resources.verification_workers
evaluate_zero_shot(job, snakemake.input.base, snakemake.input.validation, files, workers)
