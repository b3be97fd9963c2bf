"""What an agent may do to its workspace: read a file, write a file, execute Python in the sandbox."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlvr.repair.solver import ToolResult
from rlvr.repair.text import storable
from rlvr.repair.workspace import WorkspaceError, file_names, read_text, write_text
from rlvr.verify.sandbox.client import Sandbox
from rlvr.verify.sandbox.peer import ProgramFailure, RemoteException

EXECUTION_LIMIT_S = 10.0
MAX_OUTPUT = 8000


def _spec(name: str, description: str, **arguments: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": words} for key, words in arguments.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description, "input_schema": schema}


# In the form of the messages API; `parameters` instead of `input_schema` makes them OpenAI's.
TOOL_SPECS = (
    _spec("read_file", "The content of a file.", path="Path of the file, relative to the workspace."),
    _spec(
        "write_file",
        "Write a whole file; one that is there is replaced.",
        path="Path of the file, relative to the workspace.",
        content="The new content.",
    ),
    _spec(
        "execute_code",
        "Execute Python with NumPy in a fresh process that sees a copy of the workspace, and return what it "
        "prints. Files that it writes are not kept.",
        code="The statements to execute.",
    ),
)

# The worker's side of execute_code. What it prints is returned to the agent and decides nothing.
EXECUTION_PROGRAM = '''
import contextlib
import io
import os
import sys
import tempfile
import traceback


def run(files, code):
    """Write the files into a folder of its own, execute the code there, and return what it prints."""
    folder = tempfile.mkdtemp()
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    os.chdir(folder)
    sys.path.insert(0, folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            exec(compile(code, "<execute_code>", "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            printed.write(f"exit status {end.code}\\n")
        except BaseException:
            traceback.print_exc()
    return printed.getvalue()[-20000:]
'''


class Toolbox:
    """The tools of one workspace. A call that is wrong or fails answers with words, never raises."""

    def __init__(self, workspace: str | Path, sandbox: Sandbox, time_limit_s: float = EXECUTION_LIMIT_S):
        self._workspace = Path(workspace)
        self._sandbox = sandbox
        self._time_limit_s = time_limit_s

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Run a tool by name; the result's `arguments` are those that the tool knows, as text."""
        tool = storable(tool)
        known = {spec["name"]: spec["input_schema"]["required"] for spec in TOOL_SPECS}
        if tool not in known:
            return ToolResult(tool, {}, f"error: no such tool; there are {', '.join(known)}")
        given = {key: value for key, value in arguments.items() if key in known[tool]}
        if set(given) != set(known[tool]) or not all(isinstance(value, str) for value in given.values()):
            return ToolResult(tool, {}, f"error: {tool} needs the texts {', '.join(known[tool])}")
        try:
            output = getattr(self, tool)(**given)
        except WorkspaceError as error:
            output = f"error: {error}"
        arguments = {key: storable(value) for key, value in given.items()}
        return ToolResult(tool, arguments, storable(output))

    def read_file(self, path: str) -> str:
        """The content of a file of the workspace; WorkspaceError for anything but a regular text file."""
        return read_text(self._workspace, path)

    def write_file(self, path: str, content: str) -> str:
        """Write a file of the workspace; WorkspaceError if it would land outside or is too large."""
        write_text(self._workspace, path, content)
        return f"wrote {path}"

    def execute_code(self, code: str) -> str:
        """What the code prints, at most its last 8,000 characters; its process sees copies of the files."""
        files = {name: read_text(self._workspace, name) for name in file_names(self._workspace)}
        try:
            with self._sandbox.open(EXECUTION_PROGRAM, self._time_limit_s) as session:
                printed = session.call("run", files, code)
        except ProgramFailure as failure:
            return f"the process failed: {failure.status}: {failure.detail}"
        except RemoteException as error:
            return f"the process failed: {error}"
        return printed[-MAX_OUTPUT:] if isinstance(printed, str) else "the process answered with no text"
