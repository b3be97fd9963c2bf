"""The command `python -m rlvr verify`: are results what was recorded, and do they come out again?"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rlvr.errors import UserError
from rlvr.joblog import log_lines
from rlvr.leases import lease_gpus
from rlvr.reproduction.comparison import Comparison, Verdict, first_parting, overall
from rlvr.reproduction.folders import compare_folders
from rlvr.reproduction.integrity import check_integrity
from rlvr.reproduction.recorded import Record, read_record
from rlvr.reproduction.rerun import gpus_of, rerun, run_provenance
from rlvr.reproduction.surroundings import (
    Surroundings,
    differences,
    present_surroundings,
    recorded_surroundings,
    run_surroundings,
)


def run(options: argparse.Namespace) -> int:
    """Print the report; 0 if nothing is changed, missing or different beyond rounding, else 1."""
    log_lines()
    try:
        folders = [Path(folder) for folder in (options.results, options.against) if folder is not None]
        for folder in folders:
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; allowed: results/NAME of a finished study")
        record = read_record(run_provenance(folders[0], options.run)) if options.run else None
        with lease_gpus(gpus_of(record) if record else 0, f"verify {options.run}"):
            return _report(options, folders, record)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _report(options: argparse.Namespace, folders: list[Path], record: Record | None) -> int:
    results = folders[0]
    _say_surroundings(results, folders[1:], record)
    good = _say_integrity(results, Path(options.data_root))
    if record is not None:
        heading = f"{options.run}, trained again, against what {results} has"
        if not record["mode"]["deterministic"] and record["device"] != "cpu":
            heading += " (its mode allows kernels that are not deterministic)"
        good = _say_comparisons(heading, rerun(results, options.run)) and good
    for other in folders[1:]:
        good = _say_comparisons(f"{results} against {other}", compare_folders(results, other)) and good
    return 0 if good else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say_surroundings(results: Path, against: list[Path], record: Record | None) -> None:
    recorded = [run_surroundings(record)] if record else recorded_surroundings(results)
    here = present_surroundings(on_cpu=all(one["device"] == "cpu" for one in recorded))
    _say_differences("Versions, device and code", recorded, [here], "here")
    for other in against:
        theirs = recorded_surroundings(other)
        _say_differences(f"Versions and device of {results} and {other}", recorded, theirs, f"in {other}")


def _say_differences(
    heading: str, recorded: list[Surroundings], others: list[Surroundings], where: str
) -> None:
    lines = list(differences(recorded, others, where))
    _say(f"{heading}: {'different' if lines else 'the same'}")
    for line in lines:
        _say(f"  {line}")


def _say_integrity(results: Path, data_root: Path) -> bool:
    _say(f"\nHashes that the records of {results} have")
    counts: Counter[str] = Counter()
    for one in check_integrity(results, data_root):
        counts[one.status] += 1
        detail = f": {one.detail}" if one.detail else ""
        _say(f"  {one.status:9s}  {one.path}{' (weights)' if one.of == 'weights' else ''}{detail}")
    _say(f"{counts['unchanged']} unchanged, {counts['changed']} changed, {counts['missing']} missing")
    if not counts:
        _say(
            "Nothing was verified: no record with hashes is there (allowed: results/NAME of a finished study)"
        )
    return counts["unchanged"] == counts.total() > 0


def _say_comparisons(heading: str, comparisons: Iterable[Comparison]) -> bool:
    _say(f"\n{heading}")
    found = []
    for one in comparisons:
        found.append(one)
        places = [place for place in (one.first, one.beyond) if place is not None]
        detail = "; beyond rounding at ".join(map(str, dict.fromkeys(places)))
        _say(f"  {one.verdict.words:21s}  {one.name}{': ' * bool(detail)}{detail}")
    verdict = overall(found)
    parting = first_parting(found)
    where = f"; they part first in {parting[0]}, {parting[1]}" if parting else ""
    _say(f"{verdict.words}{where}")
    return verdict is not Verdict.DIFFERENT
