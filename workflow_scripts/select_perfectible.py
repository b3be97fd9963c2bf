"""Adaptor of rule select_perfectible."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus
from rlvr.training.owner import own_until_exit

log_to(snakemake.log[0])
own_until_exit(snakemake.params.checkpoints, snakemake.resources.checkpoint_lock)
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.config.build import build
from rlvr.training.perfectible import SelectionFiles, SelectionJob, select_perfectible

job = build(SelectionJob, snakemake.params.job)
files = SelectionFiles(**snakemake.input, **snakemake.output, checkpoints=snakemake.params.checkpoints)
select_perfectible(job, files, snakemake.resources.verification_workers)
