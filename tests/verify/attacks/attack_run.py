"""Run cases through the verifier as its users do, several slots side by side."""

from collections import defaultdict
from collections.abc import Iterable

from attack_case import Case, Sequel
from host_watch import HostWatch

from rlvr.verify.code import CodeVerdict, CodeVerifier

WORKERS = 4


def judge(
    cases: Iterable[Case], rung: str, watch: HostWatch, workers: int = WORKERS
) -> dict[str, CodeVerdict]:
    """The verdict on each case by its name."""
    by_limit = defaultdict(list)
    for case in cases:
        by_limit[case.time_limit_s].append(case)
    verdicts = {}
    for limit, group in by_limit.items():
        filled = [(watch.fill(case.program), watch.fill(case.tests), case.entry_point) for case in group]
        with CodeVerifier(workers, limit, rung=rung) as verifier:
            verdicts |= zip((case.name for case in group), verifier.run(filled), strict=True)
    return verdicts


def judge_sequels(sequels: Iterable[Sequel], rung: str, watch: HostWatch) -> dict[str, CodeVerdict]:
    """The verdict on each second program, run in the one slot where the first has just been run."""
    verdicts = {}
    with CodeVerifier(1, 2.0, rung=rung) as verifier:
        for sequel in sequels:
            pair = [
                (watch.fill(case.program), watch.fill(case.tests), case.entry_point)
                for case in (sequel.first, sequel.then)
            ]
            verdicts[sequel.then.name] = verifier.run(pair)[1]
    return verdicts


def wrong_verdicts(cases: Iterable[Case], verdicts: dict[str, CodeVerdict]) -> dict[str, str]:
    """The verdicts that no case of that name allows."""
    return {
        case.name: f"{verdicts[case.name].status}: {verdicts[case.name].detail}"
        for case in cases
        if verdicts[case.name].status not in case.allowed_statuses
        or verdicts[case.name].passed != (verdicts[case.name].status == "passed")
    }
