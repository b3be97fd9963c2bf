"""Adaptor of rule measure_update_geometry."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus

log_to(snakemake.log[0])
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.config.build import build
from rlvr.diagnostics.geometry import GeometrySettings, measure_update_geometry

measure_update_geometry(
    base=snakemake.input.base,
    policies=list(snakemake.input.policies),
    snapshots=list(snakemake.input.snapshots),
    runs=snakemake.params.runs,
    steps=snakemake.params.steps,
    settings=build(GeometrySettings, snakemake.params.settings),
    table=snakemake.output.table,
)
