"""From how a program ended, or what it raised, to its status."""

import signal
from typing import Any

from rlvr.verify.sandbox.forkserver import CHILD_BROKE
from rlvr.verify.sandbox.peer import ProgramFailure

OUT_OF_MEMORY = 113  # exit status; as in the worker


def failure_of(ended: dict[str, Any]) -> ProgramFailure:
    """Explain a connection that broke by how the program ended."""
    code = ended["exit"]
    if ended["overflow"]:
        return ProgramFailure("output_limit", "printed more than the limit")
    if code == -signal.SIGXCPU:
        return ProgramFailure("timeout", "processor time limit")
    if code in (-signal.SIGKILL, OUT_OF_MEMORY) and not ended["ended_by_us"]:
        return ProgramFailure("memory", "out of memory, or killed")
    if code == -signal.SIGSYS:
        return ProgramFailure("forbidden", "a system call that the sandbox refuses")
    return ProgramFailure("error", _other_end(ended))


def _other_end(ended: dict[str, Any]) -> str:
    code = ended["exit"]
    if code < 0:
        return f"the program was ended by signal {-code}"
    if ended["ended_by_us"]:
        return "the program closed its connection"
    if code == CHILD_BROKE:
        return f"the jail broke: {ended['output'][:600]}"
    return f"the program exited with status {code}"
