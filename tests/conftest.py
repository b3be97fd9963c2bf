"""Fixtures shared by several parts."""

import pytest
from synthetic_study import CONFIG, write_study

from rlvr.analysis.study import analyse_precision_study


@pytest.fixture(scope="session")
def analysed_study(tmp_path_factory):
    """A made-up precision study (three arms, five seeds), analysed."""
    study = write_study(tmp_path_factory.mktemp("study"))
    analyse_precision_study(CONFIG, "add", study.base_files, study.run_files, study.analysis)
    return study


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """Folder with a small trained `policy` and its `train.jsonl`."""
    from tiny_run import make_base  # imports torch, which most tests do not need

    return make_base(tmp_path_factory.mktemp("base"))
