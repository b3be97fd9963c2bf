"""A warm process that forks one child per case, watches it, and cleans up after it.

It reads nothing of a child's but the bytes it prints and the way it ended.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from rlvr.verify.sandbox.wire import ClosedError, Frame, Stream, receive_frame, send_frame

MAX_CONTROL_BYTES = 64 << 20
OUTPUT_KEPT = 8_000  # bytes of what a child printed that are handed on
CHILD_BROKE = 112  # exit status of a child whose own set-up failed


@dataclass(frozen=True)
class Child:
    """What a fork server runs: `run` in the child, with the request, a socket and the pipe for its output.

    `before` readies the server for a request; `kill` sends SIGKILL to a child and all that it started;
    `clean` removes what they left behind.
    """

    run: Callable[[dict[str, Any], int, int], None]
    kill: Callable[[int], None]
    clean: Callable[[], None] = lambda: None
    before: Callable[[dict[str, Any]], None] = lambda _: None


def serve(control: socket.socket, child: Child) -> None:
    """Run one child after another as asked; return when the other side has gone.

    A request is a frame `["run", {"output_bytes": n, ...}]` followed by one byte that carries a socket; the
    answer is how the child ended. `["end"]` ends the child, if there is one.
    """
    stream = Stream(control)
    send_frame(stream, Frame(["ready"]), MAX_CONTROL_BYTES)
    while True:
        try:
            header = receive_frame(stream, MAX_CONTROL_BYTES).header
            if header[0] == "run":
                _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
                ended = _run(stream, header[1], descriptors[0], child)
                send_frame(stream, Frame(["ended", ended]), MAX_CONTROL_BYTES)
        except ClosedError:
            return


def _run(stream: Stream, request: dict[str, Any], connection: int, child: Child) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    child.before(request)
    started = time.monotonic()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _become(child, request, connection, write_end)
    os.close(connection)
    os.close(write_end)
    os.set_blocking(read_end, False)
    watch = _Watch(read_end, request["output_bytes"])
    gone = False
    try:
        watch.until_over(stream, pid)
    except ClosedError:
        gone = True
    child.kill(pid)
    _, status, usage = os.wait4(pid, 0)
    while _has_children():
        child.kill(pid)
    watch.drain()
    os.close(read_end)
    child.clean()
    if gone:
        raise ClosedError
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "ended_by_us": watch.ended_by_us,
        "overflow": watch.total > request["output_bytes"],
        "output": bytes(watch.kept).decode(errors="replace"),
        "memory_kb": usage.ru_maxrss,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.monotonic() - started,
    }


def _become(child: Child, request: dict[str, Any], connection: int, output: int) -> NoReturn:
    try:
        child.run(request, connection, output)
    except BaseException as error:  # nothing of the child may run on into the server's loop
        os.write(output, f"{type(error).__name__}: {error}"[:500].encode(errors="replace"))
    finally:
        os._exit(CHILD_BROKE)


def _has_children() -> bool:
    """Reap what has ended of the child's orphans; whether any live on."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True


class _Watch:
    """The server's eye on a running child: its output, its end, and the wish of the other side."""

    def __init__(self, pipe: int, limit: int) -> None:
        self.kept = bytearray()
        self.total = 0
        self.ended_by_us = False
        self._pipe = pipe
        self._limit = limit

    def until_over(self, stream: Stream, pid: int) -> None:
        """Return when the child has ended, printed too much, or the other side wants its end."""
        poll = select.poll()
        poll.register(stream.socket, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        ended = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        if ended is not None:
            poll.register(ended, select.POLLIN)
        try:
            while self.total <= self._limit:
                ready = dict(poll.poll(None if ended is not None else 10))
                if self._pipe in ready and not self._read():
                    poll.unregister(self._pipe)
                if stream.socket.fileno() in ready:
                    receive_frame(stream, MAX_CONTROL_BYTES)  # "end", the only word now
                    self.ended_by_us = True
                    return
                if ended in ready or (ended is None and _has_ended(pid)):
                    return
        finally:
            if ended is not None:
                os.close(ended)

    def _read(self) -> bool:
        """Take what there is in the pipe; whether there may be more."""
        try:
            data = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return False
        self.total += len(data)
        self.kept += data[: OUTPUT_KEPT - len(self.kept)]
        return bool(data)

    def drain(self) -> None:
        """Read what a dead child left in the pipe."""
        while self.total <= self._limit and self._read():
            continue


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
