"""Run cases through the verifier as its users do, several slots side by side."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from attack_case import Case, Sequel
from host_watch import HostWatch

from rlvr.verify.code import CodeVerdict, CodeVerifier

SLOTS = 4


def judge(cases: Sequence[Case], rung: str, watch: HostWatch) -> dict[str, CodeVerdict]:
    """The verdict on each case by its name."""
    with CodeVerifier(SLOTS, 1.0, rung=rung) as verifier, ThreadPoolExecutor(SLOTS) as threads:
        verdicts = threads.map(lambda case: _judge(verifier, case, watch), cases)
        return dict(zip((case.name for case in cases), verdicts, strict=True))


def judge_sequels(sequels: Sequence[Sequel], rung: str, watch: HostWatch) -> dict[str, CodeVerdict]:
    """The verdict on each second program, run in the one slot where the first has just been run."""

    def judge_lane(lane: Iterable[Sequel]) -> dict[str, CodeVerdict]:
        verdicts = {}
        with CodeVerifier(1, 1.0, rung=rung) as verifier:
            for sequel in lane:
                _judge(verifier, sequel.first, watch)
                verdicts[sequel.then.name] = _judge(verifier, sequel.then, watch)
        return verdicts

    with ThreadPoolExecutor(SLOTS) as threads:
        lanes = list(threads.map(judge_lane, (sequels[start::SLOTS] for start in range(SLOTS))))
    return {name: verdict for lane in lanes for name, verdict in lane.items()}


def _judge(verifier: CodeVerifier, case: Case, watch: HostWatch) -> CodeVerdict:
    program, tests = watch.fill(case.program), watch.fill(case.tests)
    return verifier.judge(program, tests, case.entry_point, case.time_limit_s)


def wrong_verdicts(cases: Iterable[Case], verdicts: dict[str, CodeVerdict]) -> dict[str, str]:
    """The verdicts that their case does not allow, or whose status and `passed` disagree."""
    return {
        case.name: f"{verdict.status}: {verdict.detail}"
        for case in cases
        for verdict in [verdicts[case.name]]
        if verdict.status not in case.allowed_statuses or verdict.passed != (verdict.status == "passed")
    }
