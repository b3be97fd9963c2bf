"""All seeds of one method on the reference problem."""

import logging
from collections.abc import Sequence

from rlvr.advantage_study.log import MethodFiles, write_runs
from rlvr.advantage_study.methods import Method
from rlvr.advantage_study.problem import run_problem
from rlvr.config.advantage import ProblemConfig

logger = logging.getLogger(__name__)


def run_method(problem: ProblemConfig, method: Method, seeds: Sequence[int], files: MethodFiles) -> None:
    """Train the problem once for each seed, one after the other, and write the files of all."""
    runs = []
    for seed in seeds:
        runs.append(run_problem(problem, method, seed))
        logger.info("seed %d: score %.2f", seed, runs[-1].score)
    write_runs(files, runs)
