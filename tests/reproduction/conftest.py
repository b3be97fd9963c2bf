"""Results to verify, made once, and copies of them to spoil."""

import shutil

import pytest


@pytest.fixture(scope="session")
def trained(small_base, tmp_path_factory):
    """Results with one tiny run of seed 1."""
    from recorded_run import write_results

    return write_results(small_base, tmp_path_factory.mktemp("trained") / "study")


@pytest.fixture(scope="session")
def other_seed(small_base, tmp_path_factory):
    """The same with a run of seed 2 in its place."""
    from recorded_run import write_results

    return write_results(small_base, tmp_path_factory.mktemp("other") / "study", seed=2)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of `trained` that a test may edit."""
    return shutil.copytree(trained, tmp_path / "copy")
