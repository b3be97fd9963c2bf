"""Adaptor of rule select_perfectible."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.training.perfectible import SelectionFiles, SelectionJob, select_perfectible

job = build(SelectionJob, snakemake.params.job)
files = SelectionFiles(**snakemake.input, **snakemake.output, checkpoints=snakemake.params.checkpoints)
select_perfectible(job, files, snakemake.resources.verification_workers)
