"""Worker processes with a hard time limit: a task that overruns costs its worker, never the caller.

A signal or a thread cannot end a computation inside C code, so each worker is a process of its own, which
is killed. Workers are plain Python processes (`rlvr.verify.worker`) rather than `multiprocessing` ones:
those import the caller's main script again (here a workflow's adaptor, which would start a second training),
or fork a process that holds CUDA and threads.
"""

import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Self

from rlvr.sigterm import sheltered_from_sigterm
from rlvr.verify.worker import CPU_SHARE, main

logger = logging.getLogger(__name__)

STARTUP_LIMIT_S = 120.0
# So many workers in a row may be killed while they start (for memory, say) before that counts as an error.
KILLED_STARTS = 3
# Up to this share of the limit a task is ordinary; what it takes beyond counts against a batch's budget.
ORDINARY_SHARE = 0.02


@dataclass(frozen=True)
class Outcome:
    """What became of a task: `value` if done, else `detail` says more."""

    status: Literal["done", "error", "crashed", "time limit"]
    value: Any = None
    detail: str = ""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    deadline: float
    task: int | None = None
    ready: bool = False

    @property
    def given(self) -> int:
        """The task that it has been given."""
        assert self.task is not None, "an idle worker has no task"
        return self.task

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


@dataclass
class _Batch:
    """Tasks that wait, and outcomes by position."""

    tasks: Sequence[Sequence[Any]]
    waiting: deque[int]
    retried: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    budget_s: float = math.inf

    def spend(self, seconds: float) -> None:
        """Take what a slow task cost from the budget; when it is used up, no task is begun any more."""
        self.budget_s -= max(0.0, seconds)
        if self.budget_s < 0:
            self.outcomes |= dict.fromkeys(self.waiting, Outcome("time limit", detail="for the whole batch"))
            self.waiting.clear()


class TimeLimitedPool:
    """A context manager that maps tasks to outcomes in worker processes.

    `factory` is a module-level function without arguments; each worker calls it once, outside the time
    limit, and applies the function that it returns to tasks (sequences of JSON values, its arguments).
    A task ends at the limit by the clock, and well before that at its share in CPU time
    (`rlvr.verify.worker.CPU_SHARE`), so that a busy machine changes no verdict.
    Workers start with the first tasks, live between calls, and end with the context or their parent.
    A task whose worker dies is tried once more, on another worker, before its outcome is "crashed": a worker
    may have died of something else (killed for memory, say), even before it took the task. One that is killed
    while it starts is replaced, `KILLED_STARTS` times in a row.
    """

    def __init__(
        self, factory: Callable[[], Callable[..., Any]], workers: int = 1, time_limit_s: float = 10.0
    ) -> None:
        if workers < 1 or not time_limit_s > 0:
            raise ValueError(f"workers ({workers}) and time_limit_s ({time_limit_s}) must be positive")
        self._factory = f"{factory.__module__}:{factory.__qualname__}"
        self._size = workers
        self._limit = time_limit_s
        self._workers: list[_Worker] = []
        self._killed_starts = 0
        self._lock = threading.Lock()  # one map at a time; callers may be threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers. The pool can be used again: workers start anew."""
        with self._lock:
            self._end_all()

    def map(self, tasks: Sequence[Sequence[Any]], budget_s: float = math.inf) -> list[Outcome]:
        """Return one outcome per task, in order. Only a worker that cannot even start raises RuntimeError.

        Many tasks that each stay just under the limit would hold up the rest for long: `budget_s` is the CPU
        time that all together may take beyond the ordinary (`ORDINARY_SHARE` of the limit each). Tasks are
        begun in order, and those left when it is used up have the outcome "time limit".
        """
        with self._lock:
            batch = _Batch(tasks, deque(range(len(tasks))), budget_s=budget_s)
            try:
                while len(batch.outcomes) < len(tasks):
                    self._dispatch(batch)
                    self._collect(batch)
            except BaseException:
                self._end_all()  # half-done tasks must not answer the next call
                raise
            return [batch.outcomes[index] for index in range(len(tasks))]

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        # Not `-m`: the package has imported the worker module already, and runpy warns about that.
        program = f"import sys; from {main.__module__} import main; main(sys.argv[1:])"
        arguments = [str(theirs.fileno()), self._factory, str(self._limit)]
        with sheltered_from_sigterm():
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # SymPy walks through sets; a fixed hash seed makes verdicts the same in every run.
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )
        theirs.close()
        return _Worker(process, ours, time.monotonic() + STARTUP_LIMIT_S)

    def _dispatch(self, batch: _Batch) -> None:
        """Give waiting tasks to idle workers, and start workers while there are too few for what waits."""
        for worker in [worker for worker in self._workers if worker.ready and worker.task is None]:
            if worker.process.poll() is not None:  # it died while idle
                self._remove(worker)
            elif batch.waiting:
                self._give(worker, batch)
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(self._size - len(self._workers), len(batch.waiting) - starting)):
            self._workers.append(self._start())

    def _give(self, worker: _Worker, batch: _Batch) -> None:
        """Send a worker the next task; one that has died since it was looked at leaves the task waiting."""
        try:
            worker.connection.send_bytes(json.dumps(batch.tasks[batch.waiting[0]]).encode())
        except (BrokenPipeError, ConnectionResetError):
            self._remove(worker)
            return
        worker.task = batch.waiting.popleft()
        worker.deadline = time.monotonic() + self._limit

    def _collect(self, batch: _Batch) -> None:
        """Wait for the next answer, death or deadline, and record what happened."""
        busy = [worker for worker in self._workers if worker.task is not None or not worker.ready]
        remaining = min(worker.deadline for worker in busy) - time.monotonic()
        answered = wait([worker.connection for worker in busy], timeout=max(0.0, remaining))
        for worker in busy:
            if worker.connection in answered:
                self._read(worker, batch)
            elif time.monotonic() >= worker.deadline:
                self._lose(worker, batch, self._overrun())

    def _read(self, worker: _Worker, batch: _Batch) -> None:
        try:
            answer = json.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            code = worker.process.wait()
            if worker.ready and code == -signal.SIGPROF:
                self._lose(worker, batch, self._overrun())
            elif worker.ready and worker.given not in batch.retried:
                batch.retried.add(worker.given)
                batch.waiting.appendleft(worker.given)
                self._remove(worker)
            elif not worker.ready and code < 0 and self._killed_starts < KILLED_STARTS:
                self._killed_starts += 1
                self._remove(worker)
            else:
                self._lose(worker, batch, Outcome("crashed", detail=f"worker ended with exit status {code}"))
            return
        if not worker.ready:
            worker.ready = True
            self._killed_starts = 0
            return
        error = answer.get("error", "")
        batch.outcomes[worker.given] = Outcome("error" if error else "done", answer.get("value"), error)
        worker.task = None
        batch.spend(answer["seconds"] - ORDINARY_SHARE * self._limit)

    def _overrun(self) -> Outcome:
        return Outcome("time limit", detail=f"over {self._limit:g} s")

    def _remove(self, worker: _Worker) -> None:
        worker.end()
        self._workers.remove(worker)

    def _lose(self, worker: _Worker, batch: _Batch, outcome: Outcome) -> None:
        self._remove(worker)
        if not worker.ready:
            raise RuntimeError(f"a worker for {self._factory} did not start: {outcome.detail}")
        batch.outcomes[worker.given] = outcome
        if outcome.status == "crashed":
            logger.warning("two workers of %s died of one task, which counts as crashed", self._factory)
        if outcome.status == "time limit":
            batch.spend((CPU_SHARE - ORDINARY_SHARE) * self._limit)
