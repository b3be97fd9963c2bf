import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlvr.repair.task import DROPOUT_SOURCE, SUBMISSION, TEST_SOURCE
from rlvr.repair.tools import MAX_OUTPUT, TOOL_SPECS, Toolbox
from rlvr.repair.workspace import MAX_BYTES, MAX_FILES

ESCAPES = [
    "../outside.txt", "/etc/passwd", "a/../../outside.txt", "..", ".", "", "/", "link.txt", "up/outside.txt",
    "a\0b", "x" * 600, "\ud800", "folder", "pipe", "hard.txt/x", "./../outside.txt",
]  # fmt: skip


@pytest.fixture
def trapped(workspace):
    """A workspace with links that lead out of it, and the file that they lead to."""
    outside = workspace.parent / "outside.txt"
    outside.write_text("untouched")
    (workspace / "link.txt").symlink_to(outside)
    (workspace / "up").symlink_to(workspace.parent)
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "pipe")
    (workspace / "hard.txt").write_text("a file, no folder")
    return workspace


@pytest.fixture
def tools(trapped, sandbox):
    return Toolbox(trapped, sandbox)


@pytest.mark.parametrize("path", ESCAPES, ids=repr)
def test_no_path_leads_out(path, tools, trapped):
    read = tools.call("read_file", {"path": path})
    written = tools.call("write_file", {"path": path, "content": "changed"})
    assert read.output.startswith("error:") and written.output.startswith("error:")
    assert "untouched" not in read.output and "root:" not in read.output
    assert (trapped.parent / "outside.txt").read_text() == "untouched"
    assert str(trapped) not in read.output + written.output


parts = st.sampled_from(["..", ".", "a", "b.txt", "up", "link.txt", "", "folder", "outside.txt", "~", "\0"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.lists(parts, max_size=5).map("/".join))
def test_whatever_the_path_nothing_outside_changes(path, trapped, tools):
    before = sorted(os.listdir(trapped.parent))
    tools.call("write_file", {"path": path, "content": "changed"})
    tools.call("read_file", {"path": path})
    assert sorted(os.listdir(trapped.parent)) == before
    assert (trapped.parent / "outside.txt").read_text() == "untouched"


def test_a_hard_link_is_not_written_through(tools, trapped):
    os.link(trapped.parent / "outside.txt", trapped / "hard_link")
    assert tools.call("write_file", {"path": "hard_link", "content": "changed"}).output.startswith("error:")
    assert (trapped.parent / "outside.txt").read_text() == "untouched"


def test_files_are_written_whole_with_their_folders(tools, trapped):
    assert tools.call("read_file", {"path": SUBMISSION}).output == DROPOUT_SOURCE
    tools.call("write_file", {"path": "new/deep/a.txt", "content": "é\n"})
    assert (trapped / "new" / "deep" / "a.txt").read_text() == "é\n"
    tools.call("write_file", {"path": "new/deep/a.txt", "content": "b"})
    assert tools.call("read_file", {"path": "./new//deep/a.txt"}).output == "b"


def test_half_a_surrogate_pair_goes_nowhere_it_could_hurt(tools):
    half = "\ud800"
    for result in (
        tools.call("write_file", {"path": "a", "content": half}),
        tools.call(half, {}),
        tools.call("execute_code", {"code": r"print('\ud800')"}),
    ):
        (result.tool + result.output + "".join(result.arguments.values())).encode("utf-8")


def test_sizes_are_bounded(tools, trapped):
    assert "larger" in tools.call("write_file", {"path": "big", "content": "x" * (MAX_BYTES + 1)}).output
    (trapped / "big").write_bytes(b"x" * (MAX_BYTES + 1))
    assert "larger" in tools.call("read_file", {"path": "big"}).output
    (trapped / "binary").write_bytes(b"\xff\xfe")
    assert "UTF-8" in tools.call("read_file", {"path": "binary"}).output
    for number in range(MAX_FILES):
        tools.call("write_file", {"path": f"f{number}", "content": ""})
    assert f"{MAX_FILES} files" in tools.call("write_file", {"path": "one more", "content": ""}).output
    assert "wrote" in tools.call("write_file", {"path": SUBMISSION, "content": ""}).output


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("rm", {}), ("", {}), ("read_file", {}), ("read_file", {"path": 3}), ("write_file", {"path": "a"}),
     ("call", {"tool": "x", "arguments": {}}), ("__init__", {"workspace": "/"})],
)  # fmt: skip
def test_a_wrong_call_is_answered_with_words(tool, arguments, tools):
    assert tools.call(tool, arguments).output.startswith("error:")


def test_code_sees_the_workspace_and_its_output_comes_back(workspace, sandbox):
    tools = Toolbox(workspace, sandbox)
    code = "from dropout import Dropout\nprint(Dropout(0.3).drop_rate)\n"
    output = tools.execute_code(code + "print(open('test_dropout.py').read()[:5])")
    assert output == f"0.3\n{TEST_SOURCE[:5]}\n"
    assert "ZeroDivisionError" in tools.execute_code("1 / 0")
    assert tools.execute_code("import sys; sys.exit(3)") == "exit status 3\n"
    assert len(tools.execute_code("print('x' * 30000)")) == MAX_OUTPUT


def test_code_cannot_change_the_workspace_and_is_stopped(workspace, sandbox):
    tools = Toolbox(workspace, sandbox, time_limit_s=1.0)
    tools.execute_code("open('dropout.py', 'w').write('')")
    tools.execute_code(f"open({str(workspace / SUBMISSION)!r}, 'w').write('')")
    assert (workspace / SUBMISSION).read_text() == DROPOUT_SOURCE
    assert "timeout" in tools.execute_code("while True: pass")
    assert "process failed" in tools.execute_code("import os; os._exit(0)")


def test_the_agent_can_run_the_published_tests(workspace, sandbox):
    output = Toolbox(workspace, sandbox).execute_code("import test_dropout\ntest_dropout.main()")
    assert "FAILED test_variance_is_preserved_in_training" in output and "43.0 %" in output


def test_specs_name_the_methods_and_their_arguments():
    for spec in TOOL_SPECS:
        method = getattr(Toolbox, spec["name"])
        arguments = method.__code__.co_varnames[1 : method.__code__.co_argcount]
        assert spec["input_schema"]["required"] == list(arguments) == list(spec["input_schema"]["properties"])


def test_links_are_no_files_of_the_workspace(trapped, tools):
    assert "outside" not in tools.execute_code("import os\nprint(sorted(os.listdir()))")
    assert Path(trapped / "link.txt").is_symlink()
