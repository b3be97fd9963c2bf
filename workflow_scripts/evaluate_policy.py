"""Adaptor of rules evaluate_policy, evaluate_base and evaluate_external."""

from rlvr.joblog import log_to
from rlvr.leases import lease_gpus
from rlvr.training.owner import own_until_exit

log_to(snakemake.log[0])
own_until_exit(snakemake.params.checkpoints, snakemake.resources.checkpoint_lock)
lease_gpus(snakemake.resources.gpu, snakemake.log[0])

from rlvr.config.build import build
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.run import evaluate_policy

job = build(EvaluationJob, snakemake.params.job)
files = EvaluationFiles(
    policy=snakemake.input.policy,
    base=snakemake.input.get("base"),
    snapshots=snakemake.input.get("snapshots"),
    problems=tuple(snakemake.input.problems),
    **snakemake.output,
    checkpoints=snakemake.params.checkpoints,
)
evaluate_policy(job, files, snakemake.resources.verification_workers, snakemake.params.code)
