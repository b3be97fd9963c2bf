"""Adaptor of rule calibrate_repair."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus
from rlvr.training.owner import own_until_exit

log_to(snakemake.log[0])
own_until_exit(snakemake.params.checkpoints, snakemake.resources.checkpoint_lock)
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.config.build import build
from rlvr.config.repair import RepairConfig
from rlvr.repair.calibration import run_calibration
from rlvr.repair.calibration_files import CalibrationFiles

files = CalibrationFiles(**snakemake.output, checkpoints=snakemake.params.checkpoints)
run_calibration(
    build(RepairConfig, snakemake.params.repair),
    files,
    parallel=snakemake.threads,
    require_isolation=snakemake.params.isolation,
    device=snakemake.params.device,
)
