"""A project to run in."""

import pytest
from project_copy import Project, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))
