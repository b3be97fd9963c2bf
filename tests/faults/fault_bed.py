"""Where faults are tried: runs of a tiny policy, what they come to undisturbed, what may be left of them."""

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from fault_job import Order, start
from tiny_run import make_files, make_job, rows_without_times

from rlvr.files import read_json, read_jsonl
from rlvr.provenance import digest, sha256_path
from rlvr.training.trainer import TrainingJob

STEPS = 8
DRAWS = 30
# Every group is trained on, so that every step has a gradient.
NO_DROPS = {"enabled": False, "max_rounds": 0}
LIMIT_S = 600.0  # only against a hang

End = Literal["same hashes", "clear error, then same hashes", "skipped and recorded"]


class BadEnd(AssertionError):
    """A trial ended otherwise than demanded."""


class TooLate(Exception):
    """The run was over before the fault came."""


@dataclass(frozen=True)
class Trial:
    """A fault that was survived: when it came, how all ended, and the line of a log that said so."""

    moment: str
    end: End
    said: str


@dataclass(frozen=True)
class Moment:
    """`share` of a phase, after so many steps have been checkpointed."""

    step: int
    share: float

    def __str__(self) -> str:
        return f"step {self.step} + {self.share:.2f}"


def draw_moment(chance: random.Random, first_step: int = 0) -> Moment:
    """Any moment of a run: its start (step 0), a step, or the last step with the writing of results."""
    return Moment(chance.randrange(first_step, STEPS), chance.random())


@dataclass
class Run:
    """A job that was started."""

    process: BaseProcess
    order: Order
    started: float = field(default_factory=time.monotonic)

    def log(self) -> str:
        path = Path(self.order.log)
        return path.read_text(errors="replace") if path.exists() else ""

    def ended(self) -> bool:
        return not self.process.is_alive()

    def end(self) -> int:
        """Wait for the exit code; one of a signal is negative."""
        self.process.join(LIMIT_S)
        if self.process.exitcode is None:
            self.process.kill()
            raise BadEnd(f"the job hangs:\n{self.log()}")
        return self.process.exitcode

    def demand(self, pattern: str) -> str:
        """The line of the log that matches; BadEnd without one."""
        for line in self.log().splitlines():
            if re.search(pattern, line):
                return line
        raise BadEnd(f"no line of the log says {pattern!r}; exit code {self.end()}:\n{self.log()}")

    def steps_saved(self) -> int:
        """The newest checkpoint's step, or 0."""
        found = Path(self.order.files.checkpoints).glob("step" + 7 * "[0-9]")
        return max((int(path.name[4:]) for path in found), default=0)


def results(order: Order) -> dict[str, str]:
    """A hash of each declared output, times left out; "missing", or what is wrong with it.

    A folder that is replaced while it is read counts as missing.
    """
    files = order.files

    def rows(path: str) -> str:
        return digest(rows_without_times(Path(path).parent))

    def record(path: str) -> str:
        found = read_json(path)
        return digest([found[key] for key in ("job", "weight_hash", "dtypes", "inputs", "prompts")])

    readers: dict[str, Callable[[str], str]] = {
        "policy": _folder,
        "snapshots": _folder,
        "rollouts": lambda path: digest(list(read_jsonl(path))),
        "metrics": rows,
        "provenance": record,
    }
    return {name: _hash_of(getattr(files, name), reader) for name, reader in readers.items()}


def _folder(path: str) -> str:
    """The hash of a folder that was not replaced while it was read."""
    before = os.stat(path).st_ino
    found = sha256_path(path)
    if os.stat(path).st_ino != before:
        raise FileNotFoundError(path)
    return found


def _hash_of(path: str, reader: Callable[[str], str]) -> str:
    try:
        return reader(path)
    except FileNotFoundError:
        return "missing"
    except Exception as error:  # whatever it is, the file is not whole
        return f"broken: {error!r}"


def outputs(order: Order) -> Path:
    """The folder of a job's outputs."""
    return Path(order.files.metrics).parent


@dataclass(frozen=True)
class Pace:
    """Seconds of an undisturbed run: to its first checkpoint, from one to the next, and after the last."""

    start: float
    step: float
    end: float

    def of(self, moment: Moment) -> float:
        """Seconds to wait after the checkpoint of a moment."""
        phase = {0: self.start, STEPS - 1: self.end}.get(moment.step, self.step)
        return phase * moment.share


class Bed:
    """A base policy with its problems, an undisturbed run, and an older run's results.

    The older results lie where a trial's job will write, for what must not be overwritten.
    """

    def __init__(self, folder: Path, base: Path):
        self.folder, self.base = folder, base
        self._trials = 0
        self._runs: list[Run] = []
        older = self.order("older", seed=2)
        self._run(older)
        self.older, self._older_out = results(older), outputs(older)
        reference = self.order("reference")
        run = self.start(reference)
        seen = [self._seconds_until(run, step) for step in (1, STEPS - 1)]
        self.wanted = self._finish(run)
        ended = time.monotonic() - run.started
        self.pace = Pace(seen[0], (seen[1] - seen[0]) / (STEPS - 2), ended - seen[1])

    def order(self, name: str, own_base: bool = False, mode: str = "fp32", **changes: Any) -> Order:
        """A job whose outputs lie in a folder of that name; `changes`: of the fields of an Order, and seed.

        `own_base`: its inputs are a copy, which a fault may damage.
        """
        place = self.folder / name
        base = shutil.copytree(self.base, place / "base") if own_base else self.base
        job = self._job(mode, changes.pop("seed", 1))
        return Order(job, make_files(base, place / "out"), str(place / "job.log"), **changes)

    def _job(self, mode: str, seed: int) -> TrainingJob:
        return make_job(
            mode, seed, steps=STEPS, checkpoint_every_steps=1, prompts_per_step=4, dynamic_sampling=NO_DROPS
        )

    def new_order(self, **changes: Any) -> Order:
        """A job in a new place, where the older results lie."""
        order = self.order(self.new_folder().name, **changes)
        shutil.copytree(self._older_out, outputs(order))
        return order

    def new_folder(self) -> Path:
        """An empty folder for a trial; that of the trial before is removed, with what still runs there."""
        for run in self._runs:
            if not run.ended():
                run.process.kill()
                run.end()
        self._runs.clear()
        shutil.rmtree(self.folder / f"trial{self._trials}", ignore_errors=True)
        self._trials += 1
        folder = self.folder / f"trial{self._trials}"
        folder.mkdir()
        return folder

    def start(self, order: Order) -> Run:
        Path(order.log).parent.mkdir(parents=True, exist_ok=True)
        return self.watch(Run(start(order), order))

    def watch(self, run: Run) -> Run:
        """The same run, which will not outlive its trial."""
        self._runs.append(run)
        return run

    def _run(self, order: Order) -> None:
        self._finish(self.start(order))

    def _finish(self, run: Run) -> dict[str, str]:
        if run.end() != 0:
            raise BadEnd(f"a run with nothing wrong failed:\n{run.log()}")
        return results(run.order)

    def _seconds_until(self, run: Run, step: int) -> float:
        self.wait_for_step(run, step)
        return time.monotonic() - run.started

    def wait_for_step(self, run: Run, step: int) -> None:
        """Until that many steps are checkpointed; TooLate if the run ends before it is seen."""
        while run.steps_saved() < step:
            if run.ended():
                raise TooLate
            time.sleep(0.001)

    def wait_for(self, run: Run, moment: Moment) -> None:
        """Until the moment of a run has come."""
        self.wait_for_step(run, moment.step)
        time.sleep(self.pace.of(moment))
        if run.ended():
            raise TooLate

    def demand_whole(self, order: Order) -> None:
        """Every file is the older one or the new one, whole; a folder may be missing."""
        for name, found in results(order).items():
            allowed = {self.older[name], self.wanted[name]}
            if found not in allowed | ({"missing"} if name in ("policy", "snapshots") else set()):
                raise BadEnd(f"{name} is neither the older one nor the new one: {found}")

    def demand_untouched(self, order: Order) -> None:
        """Nothing was overwritten."""
        self._demand(order, self.older)

    def demand_wanted(self, order: Order) -> None:
        """All results have the hashes of the undisturbed run."""
        self._demand(order, self.wanted)

    def _demand(self, order: Order, wanted: dict[str, str]) -> None:
        found = results(order)
        if found != wanted:
            wrong = {name: found[name] for name in found if found[name] != wanted[name]}
            raise BadEnd(f"other results than wanted: {wrong}")

    def rerun(self, order: Order) -> Run:
        """The same command with nothing wrong; it must come to the undisturbed run's results."""
        run = self.start(order.undisturbed(str(Path(order.log).with_name("again.log"))))
        self.demand_success(run)
        return run

    def demand_success(self, run: Run) -> None:
        """The run ends well, with the results of the undisturbed one."""
        if (code := run.end()) != 0:
            raise BadEnd(f"{in_words(code)}:\n{run.log()}")
        self.demand_wanted(run.order)

    def in_time(self, attempt: Callable[[], Trial]) -> Trial:
        """The first attempt whose fault met a living job; each draws its own moment."""
        for _ in range(DRAWS):
            try:
                return attempt()
            except TooLate:
                continue
        raise BadEnd(f"the fault came too late {DRAWS} times")


def resumed(run: Run) -> str:
    """What a rerun says of the checkpoint that it goes on from."""
    lines = [line for line in run.log().splitlines() if "resuming from" in line]
    return lines[0] if lines else "(began anew: there was no checkpoint yet)"


def in_words(code: int) -> str:
    """An exit code in words."""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
