"""Adaptor of rule grade_known_submissions."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.repair.tables import write_known_table

write_known_table(
    snakemake.output.known, snakemake.threads, snakemake.params.isolation, snakemake.params.time_limit_s
)
