"""The program of one worker process of `rlvr.verify.pool`.

Messages are JSON over a socket, so that nothing a worker sends can run code in its parent. The worker
answers `{"ready": true}` when its function is made, then each task with `{"value": ...}` or
`{"error": ...}` and the `"seconds"` of CPU time that it took, and ends when its parent closes the socket.
"""

import importlib
import json
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

# A runaway computation (9**9**9) fills memory faster than time limits end it.
MEMORY_LIMIT_BYTES = 4 * 2**30
# The kernel ends a worker that has computed for this share of the limit; its parent ends it at the limit by
# the clock, which should come first only for one that waits.
CPU_SHARE = 0.2
# If the parent is gone, the kernel ends a worker this much later.
ORPHAN_FACTOR = 2


def _answer(function: Callable[..., Any], task: list[Any]) -> dict[str, Any]:
    try:
        return {"value": function(*task)}
    except Exception as error:  # whatever it is belongs to this task, and the parent reports it
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def _set_limits(limit_s: float) -> None:
    """Start the timers of a task, or stop them with 0."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SHARE * limit_s)
    signal.setitimer(signal.ITIMER_REAL, ORPHAN_FACTOR * limit_s)


def serve(connection: Connection, factory: Callable[[], Callable[..., Any]], limit_s: float) -> None:
    """Answer tasks until the parent closes the connection."""
    function = factory()
    connection.send_bytes(json.dumps({"ready": True}).encode())
    while True:
        try:
            task = json.loads(connection.recv_bytes())
        except EOFError:
            return
        _set_limits(limit_s)
        started = time.process_time()
        answer = _answer(function, task) | {"seconds": time.process_time() - started}
        _set_limits(0)
        connection.send_bytes(json.dumps(answer).encode())


def main(arguments: list[str]) -> None:
    """Serve the socket of the first argument with `module:factory`, under a time limit in seconds."""
    descriptor, name, limit_s = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the socket
    for timer in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(timer, signal.SIG_DFL)  # ends the process, even inside C code
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = MEMORY_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, factory = name.partition(":")
    serve(Connection(int(descriptor)), getattr(importlib.import_module(module), factory), float(limit_s))
