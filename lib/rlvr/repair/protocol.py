"""How an agent's plain-text reply is read: fenced blocks, so that any model can act without a tool API.

    ```tool
    {"tool": "write_file", "path": "dropout.py", "content": "..."}
    ```

Each block is one call. In a reply without one, the last ```python block is taken as the new dropout.py, which
is how models answer that are asked once. A reply with neither ends the episode.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from rlvr.repair.task import DROPOUT_SOURCE, SUBMISSION, TASK_PROMPT, TEST_FILE, TEST_SOURCE
from rlvr.repair.tools import TOOL_SPECS

FENCE = re.compile(r"^```[ \t]*([\w-]*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
MAX_CALLS = 8


def first_message(turns: int) -> str:
    """The task, both files, and how to act in at most `turns` replies."""
    tools = "\n".join(json.dumps(spec) for spec in TOOL_SPECS)
    replies = "one reply" if turns == 1 else f"at most {turns} replies"
    return f"""{TASK_PROMPT}
{SUBMISSION}:
```python
{DROPOUT_SOURCE}```

{TEST_FILE}:
```python
{TEST_SOURCE}```

You have {replies}. To use a tool, write a block like this (at most {MAX_CALLS} in a reply, run in order):
```tool
{{"tool": "read_file", "path": "{SUBMISSION}"}}
```
The tools:
{tools}
In a reply without a tool block, the last ```python block becomes the new {SUBMISSION}, and the work ends.
"""


def read_calls(reply: str) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """The tool calls of a reply as (tool, arguments), and whether the episode goes on after them.

    A tool block that is no JSON object with a "tool" becomes a call of the tool "", which no toolbox has.
    """
    blocks = [(found[1], found[2]) for found in FENCE.finditer(reply)]
    tool_blocks = [content for kind, content in blocks if kind == "tool"]
    if tool_blocks:
        return list(_tool_calls(tool_blocks[:MAX_CALLS])), True
    python = [content for kind, content in blocks if kind == "python"]
    return [("write_file", {"path": SUBMISSION, "content": text}) for text in python[-1:]], False


def _tool_calls(blocks: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        try:
            call = json.loads(block)
        except (ValueError, RecursionError):
            call = None
        if isinstance(call, dict) and isinstance(call.get("tool"), str):
            yield call["tool"], {key: value for key, value in call.items() if key != "tool"}
        else:
            yield "", {}
