"""A sandbox and a grader with a secret of their own, for all tests of the repair environment."""

import pytest

from rlvr.repair.grade import Grader
from rlvr.repair.task import setup_task_files
from rlvr.repair.worker_program import PRELOAD
from rlvr.verify.sandbox.client import Sandbox


@pytest.fixture(scope="session")
def sandbox():
    with Sandbox(slots=2, preload=PRELOAD) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def grader(sandbox):
    return Grader(sandbox, secret=b"secret of the tests")


@pytest.fixture
def workspace(tmp_path):
    """A workspace with the task set up, beside which a test may put other files."""
    folder = tmp_path / "workspace"
    setup_task_files(folder)
    return folder
