"""Untrusted programs: milliseconds per program on each rung of the sandbox, and the time of HumanEval.

    python bench/sandbox.py [--programs 200] [--workers 2] [--data ../shared/benchmarks]    # under a minute

Prints, for each rung that works here, the first case (which starts a slot and a grader), the median and 95th
percentile of one trivial program with its test (fresh process, isolation, one call, clean-up), and the median
of one in a sandbox where NumPy is imported already; then, on the strongest rung, the wall time of the 164
canonical solutions of HumanEval and of 164 wrong ones.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from rlvr.verify.code import CodeVerifier
from rlvr.verify.sandbox import Sandbox, probe_rungs
from rlvr.verify.sandbox.jail import RungName

TIME_LIMIT_S = 10.0
TRIVIAL = ("def solve(x): return x + 1", "assert solve(1) == 2", "solve")
write = sys.stdout.write


def timed_ms(act: Callable[[], object], count: int) -> list[float]:
    """Wall milliseconds of each of `count` runs."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        act()
        found.append(1000 * (time.perf_counter() - started))
    return found


def bench_rung(rung: RungName, programs: int) -> str:
    """One line of figures for a rung."""
    with CodeVerifier(1, TIME_LIMIT_S, rung=rung) as verifier:

        def judge() -> None:
            if not verifier.judge(*TRIVIAL).passed:
                raise RuntimeError(f"{rung}: the trivial program does not pass")

        (start,) = timed_ms(judge, 1)
        judged = timed_ms(judge, programs)
    with Sandbox(rung=rung, preload=("numpy",)) as sandbox:

        def use_numpy() -> None:
            with sandbox.open("import numpy\ndef solve(x): return x + 1", TIME_LIMIT_S) as session:
                session.call("solve", 1)

        use_numpy()
        with_numpy = median(timed_ms(use_numpy, programs))
    last = quantiles(judged, n=20)[-1]
    warm = f"{median(judged):5.1f} ms median, {last:5.1f} ms p95"
    return f"{start:6.0f} ms first, {warm}, {with_numpy:5.1f} ms NumPy"


def bench_humaneval(path: Path, workers: int) -> str:
    """Wall time and verdicts of canonical and wrong solutions."""
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    lines = []
    for name, bodies in (
        ("canonical", [row["answer"] for row in rows]),
        ("wrong", ["    return None\n"] * len(rows)),
    ):
        cases = [
            (row["prompt"] + body, row["tests"], row["entry_point"])
            for row, body in zip(rows, bodies, strict=True)
        ]
        with CodeVerifier(workers, TIME_LIMIT_S) as verifier:
            started = time.perf_counter()
            verdicts = verifier.run(cases)
            seconds = time.perf_counter() - started
        passed = sum(verdict.passed for verdict in verdicts)
        lines.append(f"{name}: {passed} of {len(rows)} passed, {seconds:.1f} s on {workers} workers\n")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path("../shared/benchmarks"))
    options = parser.parse_args()
    for rung in probe_rungs():
        write(f"{rung.name:10s} {bench_rung(rung.name, options.programs)}\n")
    write("\n")
    path = options.data / "humaneval.jsonl.gz"
    write(bench_humaneval(path, options.workers) if path.is_file() else f"no {path}: HumanEval is left out\n")


if __name__ == "__main__":
    main()
