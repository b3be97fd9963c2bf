"""Adaptor of rule measure_variance_error."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.repair.tables import write_variance_table

write_variance_table(snakemake.output.variance)
