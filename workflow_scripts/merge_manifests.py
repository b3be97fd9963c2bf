"""Adaptor of rule merge_manifests."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.data.prepare import merge_manifests

merge_manifests(list(snakemake.input), snakemake.output[0])
