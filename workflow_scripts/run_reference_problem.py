"""Adaptor of rule run_reference_problem."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.advantage_study.log import MethodFiles
from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.run import run_method
from rlvr.config.advantage import ProblemConfig
from rlvr.config.build import build

run_method(
    build(ProblemConfig, snakemake.params.problem),
    build(Method, snakemake.params.method),
    range(1, snakemake.params.seeds + 1),
    MethodFiles(**snakemake.output),
)
