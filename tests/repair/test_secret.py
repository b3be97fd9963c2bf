import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlvr.errors import UserError
from rlvr.repair.secret import VARIABLE, grader_secret, secret_file


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(VARIABLE, raising=False)


def test_it_is_made_once_for_the_owner_alone_even_by_many_at_once():
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: grader_secret(), range(32)))
    assert len(found) == 1 and len(found.pop()) == 32
    assert stat.S_IMODE(secret_file().stat().st_mode) == 0o600
    assert os.listdir(secret_file().parent) == ["grader_secret"]


def test_the_environment_comes_first(monkeypatch):
    monkeypatch.setenv(VARIABLE, "given")
    assert grader_secret() == b"given" and not secret_file().exists()


def test_one_that_others_can_read_or_that_is_damaged_is_refused():
    grader_secret()
    secret_file().chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        grader_secret()
    secret_file().chmod(0o600)
    secret_file().write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        grader_secret()


def test_where_it_cannot_be_kept_the_error_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=VARIABLE):
        grader_secret()
