import os
import signal
import time
from pathlib import Path

import pytest

from rlvr.verify.pool import KILLED_STARTS, TimeLimitedPool


def act_factory():
    """Runs in workers: a function that does what its task says."""

    def act(what, value):
        if what == "square":
            return value * value
        if what == "sleep":
            time.sleep(value)
            return value
        if what == "spin":
            while True:
                value += 1
        if what == "power tower":  # one call into C that no signal handler interrupts
            return 9 ** (9**value)
        if what == "exit":
            os._exit(value)
        if what == "exit once":
            if os.path.exists(value):
                return "again"
            open(value, "w").close()
            os._exit(1)
        if what == "allocate":
            return len(bytes(value))
        if what == "pid":
            return os.getpid()
        raise ValueError(f"cannot {what}")

    return act


def killed_factory():
    """The workers that find a file in the folder remove it and are killed while they start."""
    for mark in sorted(Path(os.environ["KILLED_STARTS"]).iterdir())[:1]:
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return act_factory()


def broken_factory():
    raise ImportError("no such library")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers import the factories of this file by its name."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__), prepend=os.pathsep)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_do_not_see_a_sigterm():
    """Schedulers send it to every process of a job, which then finishes its step with the same workers."""
    with TimeLimitedPool(act_factory, workers=2, time_limit_s=30) as pool:
        before = {outcome.value for outcome in pool.map([("pid", 0)] * 2)}
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        assert [o.value for o in pool.map([("sleep", 0.1), ("sleep", 0.2)])] == [0.1, 0.2]
        assert before <= {worker.process.pid for worker in pool._workers}
    assert not any(map(alive, before))


def test_outcomes_are_in_order_and_workers_are_kept():
    with TimeLimitedPool(act_factory, workers=2, time_limit_s=5) as pool:
        delays = [0.2, 0.0, 0.1, 0.0]
        outcomes = pool.map([("sleep", delay) for delay in delays])
        assert [(o.status, o.value) for o in outcomes] == [("done", delay) for delay in delays]
        first, second = ({o.value for o in pool.map([("pid", 0)] * 6)} for _ in range(2))
        assert len(first | second) <= 2
        assert pool.map([]) == []


def test_overrun_in_c_code_is_killed_and_the_pool_goes_on():
    with TimeLimitedPool(act_factory, workers=1, time_limit_s=0.5) as pool:
        (first,) = pool.map([("pid", 0)])
        started = time.monotonic()
        outcomes = pool.map([("square", 2), ("power tower", 9), ("square", 3)])
        assert [o.status for o in outcomes] == ["done", "time limit", "done"]
        assert [o.value for o in outcomes] == [4, None, 9]
        assert time.monotonic() - started < 5
        assert not alive(first.value)


def test_a_task_ends_by_its_cpu_time_or_by_the_clock():
    """The kernel ends what computes (in Python too); the parent what waits."""
    with TimeLimitedPool(act_factory, workers=2, time_limit_s=0.5) as pool:
        outcomes = pool.map([("spin", 0), ("sleep", 60), ("square", 2)])
        assert [o.status for o in outcomes] == ["time limit", "time limit", "done"]
        assert [o.detail for o in outcomes[:2]] == ["over 0.5 s"] * 2


def test_a_budget_ends_a_batch_of_slow_tasks_and_leaves_ordinary_ones_alone():
    with TimeLimitedPool(act_factory, workers=1, time_limit_s=0.5) as pool:
        tasks = [("square", 2), *[("spin", 0)] * 40, ("square", 3)]
        outcomes = pool.map(tasks, budget_s=0.1)
        assert [o.status for o in outcomes] == ["done", *["time limit"] * 41]
        assert [o.detail for o in outcomes[1:]].count("over 0.5 s") == 2  # the others were not begun
        ordinary = pool.map([("square", n) for n in range(50)], budget_s=0.1)
        assert [o.value for o in ordinary] == [n * n for n in range(50)]


def test_crash_is_an_outcome_and_the_worker_is_replaced(caplog):
    with TimeLimitedPool(act_factory, workers=1, time_limit_s=5) as pool:
        outcomes = pool.map([("square", 2), ("exit", 3), ("square", 3)])
        assert [o.status for o in outcomes] == ["done", "crashed", "done"]
        assert "3" in outcomes[1].detail
    assert "two workers of test_pool:act_factory died of one task" in caplog.text


def test_exception_is_an_outcome_and_the_worker_is_kept():
    with TimeLimitedPool(act_factory, workers=1, time_limit_s=5) as pool:
        before, failed, after = pool.map([("pid", 0), ("fly", 0), ("pid", 0)])
        assert (failed.status, failed.detail) == ("error", "ValueError: cannot fly")
        assert before.value == after.value


def test_memory_is_limited():
    with TimeLimitedPool(act_factory, workers=1, time_limit_s=5) as pool:
        (outcome,) = pool.map([("allocate", 10 * 2**30)])
        assert outcome.status == "error" and outcome.detail.startswith("MemoryError")


@pytest.mark.parametrize("pause", [0.0, 0.5])  # the next call may come before the death is complete
def test_workers_that_died_between_calls_cost_no_task(pause):
    with TimeLimitedPool(act_factory, workers=2, time_limit_s=5) as pool:
        killed = {o.value for o in pool.map([("sleep", 0.2)] * 2 + [("pid", 0)] * 6) if o.value != 0.2}
        for pid in killed:
            os.kill(pid, 9)
        time.sleep(pause)
        outcomes = pool.map([("square", 2), ("square", 3), ("pid", 0)])
        assert [o.status for o in outcomes] == ["done"] * 3
        assert [o.value for o in outcomes[:2]] == [4, 9]
        assert outcomes[2].value not in killed


def test_a_task_whose_worker_is_killed_once_is_tried_again(tmp_path):
    with TimeLimitedPool(act_factory, workers=1, time_limit_s=5) as pool:
        outcomes = pool.map([("exit once", str(tmp_path / "mark")), ("square", 3)])
        assert [(o.status, o.value) for o in outcomes] == [("done", "again"), ("done", 9)]


@pytest.mark.parametrize("killed", [1, KILLED_STARTS, KILLED_STARTS + 1])
def test_a_worker_that_is_killed_while_it_starts_is_replaced(tmp_path, monkeypatch, killed):
    monkeypatch.setenv("KILLED_STARTS", str(tmp_path))
    for number in range(killed):
        (tmp_path / str(number)).touch()
    with TimeLimitedPool(killed_factory, workers=1, time_limit_s=5) as pool:
        if killed <= KILLED_STARTS:
            assert [o.value for o in pool.map([("square", 2), ("square", 3)])] == [4, 9]
        else:
            with pytest.raises(RuntimeError, match="did not start"):
                pool.map([("square", 2)])


def test_workers_end_with_the_context():
    with TimeLimitedPool(act_factory, workers=1) as pool:
        (outcome,) = pool.map([("pid", 0)])
        assert alive(outcome.value)
    assert not alive(outcome.value)


def test_a_worker_that_cannot_start_is_an_error_of_the_installation():
    with (
        TimeLimitedPool(broken_factory, workers=1) as pool,
        pytest.raises(RuntimeError, match="broken_factory did not start"),
    ):
        pool.map([("square", 2)])


@pytest.mark.parametrize("settings", [{"workers": 0}, {"time_limit_s": 0}, {"time_limit_s": float("nan")}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="must be positive"):
        TimeLimitedPool(act_factory, **settings)
