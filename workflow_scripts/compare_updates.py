"""Adaptor of rule compare_updates."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.diagnostics.compare import OverlapSettings, compare_update_overlap

compare_update_overlap(
    base=snakemake.input.base,
    policies=list(snakemake.input.policies),
    runs=snakemake.params.runs,
    settings=build(OverlapSettings, snakemake.params.settings),
    table=snakemake.output.table,
)
