"""A project to run in."""

import pytest
from project_copy import Project, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    # In a folder of its own: tests put data beside the copy, as configs look for it there.
    folder = tmp_path_factory.mktemp("project") / "checkout"
    folder.mkdir()
    return copy_project(folder)
