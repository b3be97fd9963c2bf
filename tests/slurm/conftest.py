"""A SLURM cluster of one node, from the script that RLVR_SLURM_UP names; down.sh beside it ends it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_copy import Project, copy_project

UP = "RLVR_SLURM_UP"
# More CPUs than a machine of two cores has: jobs that tests hold up need no core, but a place. The tests
# ask for finished jobs at the end.
SETTINGS = {"SLURM_TEST_CPUS": "8", "SLURM_TEST_GPUS": "4", "SLURM_TEST_MINJOBAGE": "1800"}


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A cluster of one node that the tests may do everything to."""
    up = os.environ.get(UP)
    if not up:
        pytest.skip("brings up a SLURM cluster and takes minutes: run it by `make test-slurm`")
    if not Path(up).is_file():
        pytest.skip(f"{UP}={up} does not exist: it names a script that brings up a cluster of one node")
    run = subprocess.run([up], env=os.environ | SETTINGS, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"no SLURM here: {' '.join(run.stderr.split())}")
    yield
    subprocess.run([Path(up).with_name("down.sh")], check=True)


@pytest.fixture(scope="module")
def project(cluster, tmp_path_factory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))
