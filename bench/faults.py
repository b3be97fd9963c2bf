"""Faults at random moments: whether each trial ends with the same hashes or a clear error, and how.

    python bench/faults.py [--trials 100] [--snakemake 6] [--seed 1] [--markdown]   # some minutes, Linux

Goes round the faults of a job (`tests/faults/job_faults.py`) for so many trials, and round those of
Snakemake, which take longer, for some more. Prints every trial: fault, moment, end, and the line of a log
that said so; then trials and survivals by fault, with --markdown as the table of docs/faults.md. The exit
status is 1 if a trial ended otherwise than demanded. Faults that need mounts (root) are left out elsewhere,
and named.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))
from fault_bed import BadEnd, Bed
from fault_kinds import Fault
from job_faults import JOB_FAULTS
from snakemake_faults import SNAKEMAKE_FAULTS
from tiny_run import make_base


@dataclass
class Count:
    """Trials of one fault, the ends of those that held, and why it was left out, if it was."""

    trials: int = 0
    ends: list[str] = field(default_factory=list)
    why_not: str = ""


def trials(faults: Sequence[Fault], number: int) -> Iterator[Fault]:
    """The faults in turn."""
    return islice(cycle(faults), number if faults else 0)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def attempt(fault: Fault, bed: Bed, chance: random.Random, count: Count) -> None:
    """One trial, printed and counted."""
    count.trials += 1
    try:
        trial = fault.try_it(bed, chance)
    except BadEnd as error:
        say(f"{fault.name}: BAD END: {error}")
        return
    count.ends.append(trial.end)
    say(f"{fault.name} | {trial.moment} | {trial.end} | {trial.said}")


def table(counts: dict[Fault, Count], markdown: bool) -> str:
    """A line a fault."""
    if not markdown:
        return "\n".join(f"{len(c.ends):3d} of {c.trials:3d}  {fault.name}" for fault, c in counts.items())
    lines = ["| fault | what happens | end | trials | held |", "|---|---|---|---|---|"]
    for fault, count in counts.items():
        ends = ", or ".join(sorted(set(count.ends))) or count.why_not
        lines.append(f"| {fault.name} | {fault.happens} | {ends} | {count.trials} | {len(count.ends)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--snakemake", type=int, default=6, help="trials of the faults of Snakemake")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", action="store_true", help="the table of docs/faults.md")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(Path(folder), make_base(Path(folder) / "base"))
        counts = {fault: Count(why_not=fault.why_not(bed)) for fault in (*JOB_FAULTS, *SNAKEMAKE_FAULTS)}
        for faults, number in ((JOB_FAULTS, options.trials), (SNAKEMAKE_FAULTS, options.snakemake)):
            for fault in trials([fault for fault in faults if not counts[fault].why_not], number):
                attempt(fault, bed, chance, counts[fault])
    say(table(counts, options.markdown))
    done, held = (sum(map(size, counts.values())) for size in (lambda c: c.trials, lambda c: len(c.ends)))
    say(f"\n{held} of {done} trials ended as demanded")
    return int(held < done)


if __name__ == "__main__":
    sys.exit(main())
